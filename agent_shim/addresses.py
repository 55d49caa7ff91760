"""Which agent a request is for, by its Host header and path. Pure.

The port asks for no credential, so only two kinds of address are answered: the name of an agent
(`artic-agent-{id}`), and this machine's own name with the agent in the path. Any other name may be
a page in somebody's browser whose name was bent to our address.
"""

import re
from dataclasses import dataclass
from uuid import UUID

OWN_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AGENT_HOST = re.compile(r"artic-agent-([^.]+)")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_AGENT_PATH = re.compile(r"/agents/([^/]*)(/.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Addressed:
    """The agent that is meant, and the path of the call without it (`/status`)."""

    agent_id: UUID
    path: str


@dataclass(frozen=True, slots=True)
class NotAddressed:
    """Why nobody is meant, as an answer."""

    status: int
    detail: str


NO_SUCH_AGENT = NotAddressed(404, "no such agent")
NO_AGENT_NAMED = NotAddressed(404, "name the agent: /agents/{id}/...")
WRONG_HOST = NotAddressed(421, "this port answers to the Host name artic-agent-{id} only")


def find_agent(host: str, path: str, only: UUID | None = None) -> Addressed | NotAddressed:
    """The agent that a request to `host` (with or without port) and `path` is for.

    `only` is the one agent that is served; None serves every agent. With it, this machine's own
    name needs no agent in the path.
    """
    name = _PORT.sub("", host.strip().lower())
    by_host = _AGENT_HOST.fullmatch(name)
    if by_host:
        return _serve(by_host[1], path, only)
    if name not in OWN_NAMES:
        return WRONG_HOST
    by_path = _AGENT_PATH.fullmatch(path)
    if by_path:
        return _serve(by_path[1].lower(), by_path[2] or "/", only)
    return NO_AGENT_NAMED if only is None else Addressed(only, path)


def _serve(text: str, path: str, only: UUID | None) -> Addressed | NotAddressed:
    if not _UUID.fullmatch(text):
        return NO_SUCH_AGENT
    agent_id = UUID(text)
    return Addressed(agent_id, path) if only in (None, agent_id) else NO_SUCH_AGENT

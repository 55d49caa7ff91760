"""The agent endpoint: whom a call is for, then what it asks.

Handlers read a call, pass it to the hub and hand its answer back; they decide nothing. Everything
that is no success has the shape {"detail": ...}.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

from agent_shim import bodies
from agent_shim.addresses import WRONG_HOST, Addressed, NotAddressed, find_agent
from agent_shim.answers import WrongAnswer, read_answer
from agent_shim.calls import BODY_BYTES_MAX, Call, Reply, as_json, refused
from agent_shim.client import Called, HubAnswer, HubClient
from agent_shim.errors import Refusal
from agent_shim.log import log_fields

log = logging.getLogger("artic.shim")

REQUEST_ID = "X-Request-ID"
MISTAKE = "the agent endpoint made a mistake; it was logged"
PASSED_ON = frozenset({400, 404, 409, 413, 422, 429, 503})
"""Refusals of the hub that callers hear as they are; any other is a mistake between us: 502."""

_GOOD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_CREDENTIAL = re.compile(r"(ak|rt)_|eyJ", re.IGNORECASE)
"""How keys and tokens of the hub begin: one in the wrong header must not reach a log."""


class AgentEndpoint:
    """The gateway of every agent, or the endpoint of one."""

    def __init__(
        self, hub: HubClient, only_agent: UUID | None = None, *, passes_all: bool = False
    ) -> None:
        """passes_all: fields of the field's bodies that are not served are no mistake."""
        self._hub = hub
        self._only_agent = only_agent
        self._passes_all = passes_all
        self._calls: Mapping[str, tuple[str, Callable[[_Asked], Awaitable[Reply]]]] = {
            "/health": ("GET", self._health),
            "/start": ("POST", self._start),
            "/stop": ("POST", self._stop),
            "/status": ("GET", self._status),
            "/logs": ("GET", self._logs),
            "/plan": ("POST", self._plan),
            "/config": ("POST", self._config),
        }

    async def aclose(self) -> None:
        """Ends the connections to the hub."""
        await self._hub.aclose()

    async def answer(self, call: Call) -> Reply:
        """What a call is answered. Every call has an id: the caller's own X-Request-ID, or one
        that is made. It is answered, goes on to the hub, and stands in every line logged for it.
        """
        request_id = request_id_of(call)
        with log_fields(request_id=request_id):
            try:
                reply = await self._addressed(call, request_id)
            except Refusal as refusal:
                reply = refused(refusal.status, refusal.detail, refusal.headers)
            except Exception as error:
                log.error("a call failed", exc_info=error)
                reply = refused(500, MISTAKE)
        return Reply(reply.status, reply.body, {**reply.headers, REQUEST_ID: request_id})

    async def _addressed(self, call: Call, request_id: str) -> Reply:
        found = self._find(call)
        if isinstance(found, NotAddressed):
            return refused(found.status, found.detail)
        with log_fields(agent_id=str(found.agent_id)):
            method, handler = self._calls.get(found.path, ("", None))
            if handler is None:
                return refused(404, "no such path")
            if call.method != method and (call.method, method) != ("HEAD", "GET"):
                allowed = "GET, HEAD" if method == "GET" else method
                return refused(405, f"{call.method} is not allowed here", {"Allow": allowed})
            return await handler(_Asked(call, found.agent_id, request_id))

    def _find(self, call: Call) -> Addressed | NotAddressed:
        hosts = call.header("host")
        if len(hosts) != 1:
            return WRONG_HOST
        return find_agent(hosts[0], unquote(call.path), self._only_agent)

    async def _health(self, asked: "_Asked") -> Reply:
        """GET /health: {ok, running}."""
        bodies.read_no_query(asked.query)
        return await self._ask(asked, "health")

    async def _start(self, asked: "_Asked") -> Reply:
        """POST /start: with a body what is to be done, without one as the hub knows the agent."""
        bodies.read_no_query(asked.query)
        return await self._ask(asked, "start", self._read_start(asked))

    async def _stop(self, asked: "_Asked") -> Reply:
        """POST /stop?closePosition=true."""
        close_position = bodies.read_stop_query(asked.query)
        bodies.read_no_body(asked.body())
        query = {"closePosition": "true" if close_position else "false"}
        return await self._ask(asked, "stop", query=query)

    async def _status(self, asked: "_Asked") -> Reply:
        """GET /status."""
        bodies.read_no_query(asked.query)
        return await self._ask(asked, "status")

    async def _logs(self, asked: "_Asked") -> Reply:
        """GET /logs?limit=: {logs, running}, newest last."""
        limit = bodies.read_logs_query(asked.query)
        return await self._ask(
            asked, "logs", query=None if limit is None else {"limit": str(limit)}
        )

    async def _plan(self, asked: "_Asked") -> Reply:
        """POST /plan: the body of /start, or none."""
        bodies.read_no_query(asked.query)
        return await self._ask(asked, "plan", self._read_start(asked))

    async def _config(self, asked: "_Asked") -> Reply:
        """POST /config: {status, updated}."""
        bodies.read_no_query(asked.query)
        body = bodies.read_config(asked.body(), asked.content_type, passes_all=self._passes_all)
        return await self._ask(asked, "config", body)

    def _read_start(self, asked: "_Asked") -> dict[str, Any] | None:
        return bodies.read_start(asked.body(), asked.content_type, passes_all=self._passes_all)

    async def _ask(
        self,
        asked: "_Asked",
        name: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> Reply:
        """Passes a call to the hub, and its answer back."""
        to = Called(self._calls[f"/{name}"][0], asked.agent_id, name, asked.request_id)
        answer = await self._hub.call(to, body=body, query=query)
        if answer.status != 200:
            raise _refusal(name, answer)
        try:
            return as_json(200, read_answer(name, answer.body))
        except WrongAnswer as error:
            log.error("the hub's answer is not the contract's: %s", error)
            raise Refusal(502, "hub gave no valid answer") from error


class _Asked:
    """A call whose agent is known."""

    def __init__(self, call: Call, agent_id: UUID, request_id: str) -> None:
        self._call = call
        self.agent_id = agent_id
        self.request_id = request_id

    @property
    def query(self) -> list[tuple[str, str]]:
        return self._call.query_items

    @property
    def content_type(self) -> str:
        return next(iter(self._call.header("content-type")), "")

    def body(self) -> bytes:
        if self._call.body is None:
            raise Refusal(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
        return self._call.body


def request_id_of(call: Call) -> str:
    """The id that the caller gave, if it is one and the only one, else a new one."""
    given = call.header(REQUEST_ID)
    if len(given) == 1 and _GOOD_ID.fullmatch(given[0]) and not _CREDENTIAL.match(given[0]):
        return given[0]
    return uuid4().hex


def _refusal(name: str, answer: HubAnswer) -> Refusal:
    detail = answer.body.get("detail") if isinstance(answer.body, dict) else None
    if answer.status not in PASSED_ON or not isinstance(detail, str | list):
        log.error("the hub answered %s with status %d", name, answer.status)
        return Refusal(502, "hub failed")
    headers = {} if answer.retry_after is None else {"Retry-After": answer.retry_after}
    return Refusal(answer.status, detail, headers)

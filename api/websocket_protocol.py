"""What goes over the WebSocket, and what one client has not been sent yet. Pure: no I/O.

Trades and logs carry `seq`, which counts a user's messages without gaps; they are put in order
here and never dropped. An agent's status is worth nothing once there is a newer one.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from api.bodies import Body, Check, check_query, usual_uuid
from api.errors import Problem
from api.status import AgentStatus

CLOSE_BAD_REQUEST = 4400
CLOSE_BAD_TOKEN = 4401
CLOSE_TOO_FAR_BEHIND = 4408
CLOSE_TOO_MANY = 4429

OUTBOX_FACTS_MAX = 5_000
OUTBOX_BYTES_MAX = 4_000_000
"""What one client may be behind, in trades and logs, before it is closed."""
HELD_FACTS_MAX = 5_000
"""Facts of one user that wait for earlier ones; beyond it they are read from the record."""
TICK_LINES_BATCH = 10
SEQ_MAX = 999_999_999_999_999
REASON_BYTES_MAX = 123
"""Of the reason in a close frame (RFC 6455)."""
CONFIGURATION_LEVELS = frozenset({"init", "start", "stop", "error"})
"""Log levels after which an agent's record may differ from what a hub remembers."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A trade or stored log line as it is sent."""

    seq: int
    agent_id: UUID
    text: bytes
    changes_agent: bool


class _Line(msgspec.Struct):
    level: str


class _Timed(msgspec.Struct):
    ts: str


class _Data(msgspec.Struct):
    entries: tuple[_Line, ...] = ()


class _Envelope(msgspec.Struct):
    type: str
    agent_id: UUID
    seq: int
    data: _Data


class _ReportedStatus(msgspec.Struct):
    type: Literal["agent_status"]
    agent_id: UUID


_envelopes = msgspec.json.Decoder(_Envelope)
_reported_statuses = msgspec.json.Decoder(_ReportedStatus)


def read_fact(message: bytes) -> Fact | None:
    """A message as the ledger published it, None for what is none."""
    try:
        envelope = _envelopes.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    levels = {line.level for line in envelope.data.entries}
    changes = bool(levels & CONFIGURATION_LEVELS)
    return Fact(envelope.seq, envelope.agent_id, message, changes)


def read_reported_status(message: bytes) -> UUID | None:
    """Whose status a message is that an agent outside of the pool sent; None for any other."""
    try:
        return _reported_statuses.decode(message).agent_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def fact_of(message: Mapping[str, object]) -> Fact:
    """A message of the record in the same form as the published one."""
    fact = read_fact(msgspec.json.encode(message))
    assert fact is not None, "the record holds a message that is none"
    return fact


def status_message(status: AgentStatus, ts: str) -> bytes:
    """An agent_status message."""
    return msgspec.json.encode(
        {
            "type": "agent_status",
            "agent_id": status.agent_id,
            "seq": None,
            "ts": ts,
            "data": status,
        }
    )


def tick_lines_message(agent_id: UUID, lines: Sequence[bytes]) -> bytes:
    """A log message of tick lines (each a LogEntry as JSON), which have no seq; its time is that of
    the newest.
    """
    newest = msgspec.json.decode(lines[-1], type=_Timed).ts
    return b'{"type":"log","agent_id":"%b","seq":null,"ts":%b,"data":{"entries":[%b]}}' % (
        str(agent_id).encode(),
        msgspec.json.encode(newest),
        b",".join(lines),
    )


def gap_message(first: int, last: int) -> bytes:
    """Says that the messages first..last are no longer kept."""
    return msgspec.json.encode({"type": "gap", "from": first, "to": last})


class FactOrder:
    """The facts of one user in the order of seq, each once, whatever order they come in.

    `last` is the seq of the last fact that was let through; None until the record was asked.
    """

    def __init__(self) -> None:
        self.last: int | None = None
        self._held: dict[int, Fact] = {}

    @property
    def waits(self) -> bool:
        """Whether facts are held for earlier ones, which must be read from the record."""
        return bool(self._held)

    def begin(self, last: int) -> list[Fact]:
        """Lets through what comes after `last`."""
        assert self.last is None
        self.last = last
        return self._release()

    def add(self, facts: Iterable[Fact]) -> list[Fact]:
        """Takes facts as they come; answers those that may go out now, in order."""
        for fact in facts:
            if self.last is None or fact.seq > self.last:
                self._held[fact.seq] = fact
        out = self._release()
        if len(self._held) > HELD_FACTS_MAX:
            # The newest stays, so that it is seen that something is missing.
            newest = max(self._held)
            self._held = {newest: self._held[newest]}
        return out

    def skip_to(self, seq: int) -> list[Fact]:
        """The record no longer has what comes before `seq`: goes on from there."""
        if self.last is not None and seq > self.last + 1:
            self.last = seq - 1
        return self._release()

    def _release(self) -> list[Fact]:
        if self.last is None:
            return []
        out: list[Fact] = []
        while (fact := self._held.pop(self.last + 1, None)) is not None:
            out.append(fact)
            self.last += 1
        if self._held and min(self._held) <= self.last:
            self._held = {seq: fact for seq, fact in self._held.items() if seq > self.last}
        return out


class Outbox:
    """What one client is still to be sent: every fact, and the newest status of each agent."""

    def __init__(self) -> None:
        self._facts: deque[bytes] = deque()
        self._statuses: dict[UUID, bytes] = {}
        self._bytes = 0
        self.too_far_behind = False

    def __len__(self) -> int:
        return len(self._facts) + len(self._statuses)

    def put_fact(self, message: bytes) -> None:
        """A message that must arrive; too many of them and the client is given up."""
        if self.too_far_behind:
            return
        self._facts.append(message)
        self._bytes += len(message)
        if len(self._facts) > OUTBOX_FACTS_MAX or self._bytes > OUTBOX_BYTES_MAX:
            self.too_far_behind = True
            self._facts.clear()
            self._statuses.clear()

    def put_status(self, agent_id: UUID, message: bytes) -> None:
        """Takes the place of an older status of the same agent that was not sent yet."""
        if not self.too_far_behind:
            self._statuses[agent_id] = message

    def take(self, bytes_max: int) -> list[bytes]:
        """The next messages, together hardly above bytes_max: facts first, then statuses in the
        order of their agents. Empty when there are none.
        """
        taken: list[bytes] = []
        size = 0
        while self._facts and size < bytes_max:
            message = self._facts.popleft()
            self._bytes -= len(message)
            size += len(message)
            taken.append(message)
        agents: list[UUID] = []
        for agent_id, message in self._statuses.items():
            if size >= bytes_max:
                break
            size += len(message)
            taken.append(message)
            agents.append(agent_id)
        if len(agents) == len(self._statuses):
            self._statuses = {}
        else:
            for agent_id in agents:
                del self._statuses[agent_id]
        return taken


def _ids(value: str) -> str | None:
    return "expected ids with commas between them" if None in _uuids(value) else None


def _uuids(value: str) -> list[UUID | None]:
    return [usual_uuid(each) for each in value.split(",") if each]


class Follow(Body, frozen=True, kw_only=True):
    """The query of GET /ws: ids of agents with commas between them, and the last seq seen."""

    checks: ClassVar[Mapping[str, Check]] = {"agents": _ids}

    token: str = ""
    agents: str | None = None
    since: Annotated[int, Meta(ge=0, le=SEQ_MAX)] | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a client asked for: some agents only (None: all), and messages after a seq."""

    agents: frozenset[UUID] | None = None
    since: int | None = None

    def include(self, agent_id: UUID) -> bool:
        """Whether messages of an agent are wanted."""
        return self.agents is None or agent_id in self.agents


def read_wishes(pairs: Sequence[tuple[str, str]]) -> Wishes | str:
    """The wishes of a query's (name, value) pairs, or what is wrong with them."""
    try:
        follow = check_query(pairs, Follow)
    except Problem as problem:
        told = (f"{error.field}: {error.message}" for error in problem.errors)
        return "; ".join(told).encode()[:REASON_BYTES_MAX].decode(errors="ignore")
    if follow.agents is None:
        return Wishes(None, follow.since)
    ids = frozenset(each for each in _uuids(follow.agents) if each is not None)
    return Wishes(ids, follow.since)

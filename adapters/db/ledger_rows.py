"""From events to rows of the record. Pure: no database, no clock; the same events, the same rows.

An event's number must follow the last one that is stored of its agent. One that jumps ahead
means that something was lost, one that comes again must be what is stored: anything else is a
LedgerConflict, which freezes the shard. One that cannot be read or written down is Broken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import sha1
from operator import attrgetter
from typing import Final, TypeAlias
from uuid import UUID

import numpy as np
from asyncpg.pgproto.pgproto import UUID as FastUUID

from adapters.db.errors import LedgerConflict, Unstorable
from adapters.db.records import DECIMALS, DIGITS, ShardEvents, Trade
from engine.errors import EngineError
from engine.events import Event, decode_event, log_lines
from engine.rows import ROW, ROWS_PER_SHARD, Reason, Rows, RowStatus
from engine.schemas import record_from_bytes, record_schema, rows_from_bytes

Place: TypeAlias = tuple[int, int]
"""(shard, row)"""
Line: TypeAlias = tuple[str, str]
"""(level, message)"""

LINE_MAX: Final = 500
_NO_ID: Final = UUID(int=0)
_NO_TIME: Final = datetime.fromtimestamp(0, UTC)
_TOO_LARGE: Final = 10.0 ** (DIGITS - DECIMALS)
_SURELY_EXACT: Final = 0.01  # from here on the 17 digits of a float have at most 18 decimals
_STATUSES: Final = frozenset(int(status) for status in RowStatus)
_REASONS: Final = frozenset(int(reason) for reason in Reason)
_STATUS_WORDS: Final[dict[int, str]] = {
    RowStatus.RUNNING: "running",
    RowStatus.STOPPED: "stopped",
    RowStatus.ERROR: "error",
}


@dataclass(slots=True)
class Fact:
    """An entry of a stream that could be read, with the fields of its row that the ledger needs."""

    shard: int
    version: int
    n: int
    payload: bytes
    event: Event
    epoch: int = 0
    status: int = 0
    status_reason: int = 0
    plan_id: int = 0
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.shard, self.event.row

    @property
    def name(self) -> str:
        """For messages to operators."""
        agent = self.event.agent_id.hex()
        return f"event {self.event.seq} of agent {agent} (entry {self.version}-{self.n})"


@dataclass(frozen=True, slots=True)
class Broken:
    """An entry that goes to quarantine, and why."""

    shard: int
    version: int
    n: int
    payload: bytes
    reason: str
    fails: UUID | None = None  # the agent that has to be put into `error` for it


@dataclass(slots=True)
class Holder:
    """The agent of a place as the record knows it: its newest stored event and its state."""

    agent_id: UUID
    seq: int
    version: int
    user_id: UUID
    symbol: str
    strategy_name: str
    plan_id: int
    mode: str
    applied_epoch: int
    status: str
    status_detail: str


@dataclass(slots=True)
class Sorted:
    """The facts of a shard: new ones in order, those that came again, those that cannot be kept."""

    new: list[Fact] = field(default_factory=list)
    again: list[Fact] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


@dataclass(slots=True)
class Entry:
    """A fact as the record will hold it. Without lines and trade only its row is kept."""

    fact: Fact
    holder: Holder
    id: UUID = _NO_ID
    ts: datetime = _NO_TIME
    lines: Sequence[Line] = ()
    trade: Trade[float] | None = None  # seq is not known yet
    told_only: bool = False  # in quarantine: its line says so, and it is not in the journal


def broken(fact: Fact, reason: str) -> Broken:
    """The fact as it goes to quarantine."""
    return Broken(fact.shard, fact.version, fact.n, fact.payload, reason)


def refused(fact: Fact, reason: str) -> Broken:
    """The same of one that its agent is told of, and fails for."""
    return replace(broken(fact, reason), fails=UUID(bytes=fact.event.agent_id))


def told_entry(fact: Fact, holder: Holder, reason: str) -> Entry:
    """What is kept of a fact in quarantine: its row, and a line for the agent's owner."""
    text = f"an event could not be stored and was kept aside: {reason}"[:LINE_MAX]
    line = ("error", text.replace("\0", "?"))  # which PostgreSQL takes in no text
    own_id = fact_id(fact.event.agent_id, fact.event.seq)
    return Entry(fact, holder, own_id, moment(fact.event.slot), [line], told_only=True)


def read_entries(events: ShardEvents) -> list[Fact | Broken]:
    """Every entry in order, read or broken. ValueError when they are out of order."""
    read: list[Fact | Broken] = []
    before = (events.after_version + 1, -1)
    for version, n, payload in events.entries:
        if (version, n) <= before:
            raise ValueError(f"entry {version}-{n} of shard {events.shard} is out of order")
        before = (version, n)
        try:
            event = decode_event(payload)
            record_schema(event.row_after)
        except EngineError as error:
            read.append(Broken(events.shard, version, n, payload, f"cannot be read: {error}"))
        else:
            read.append(Fact(events.shard, version, n, payload, event))
    return _with_rows(read)


def _with_rows(read: list[Fact | Broken]) -> list[Fact | Broken]:
    """Fills in what the facts' rows say; a row that is not its event's breaks the fact."""
    facts = [entry for entry in read if isinstance(entry, Fact)]
    rows = _rows_of([fact.event.row_after for fact in facts])
    agents = rows["agent_id"].tobytes()
    columns = (rows[name].tolist() for name in ("seq", "epoch", "status", "status_reason"))
    wrong: dict[int, str] = {}
    for i, (fact, seq, epoch, status, reason, plan_id) in enumerate(
        zip(facts, *columns, rows["plan_id"].tolist(), strict=True)
    ):
        fact.epoch, fact.status, fact.status_reason, fact.plan_id = epoch, status, reason, plan_id
        event = fact.event
        of_event = seq == event.seq and agents[16 * i : 16 * i + 16] == event.agent_id
        if not of_event or not 0 <= event.row < ROWS_PER_SHARD:
            wrong[id(fact)] = "its row is not the one after it"
        elif status not in _STATUSES or reason not in _REASONS:
            wrong[id(fact)] = f"its row has status {status} for reason {reason}"
    if not wrong:
        return read
    return [broken(e, wrong[id(e)]) if isinstance(e, Fact) and id(e) in wrong else e for e in read]


def _rows_of(records: Sequence[bytes]) -> Rows:
    """The rows of records, all of them mostly of the newest schema."""
    if any(len(record) != ROW.itemsize for record in records):
        return np.concatenate([record_from_bytes(record) for record in records])
    return rows_from_bytes(b"".join(records))


def sort_facts(
    read: Iterable[Fact | Broken], holders: Mapping[Place, Holder], quarantined_upto: int
) -> Sorted:
    """Tells new facts of one shard from repeated ones by their numbers.

    quarantined_upto is the newest version of the shard of which an entry is in quarantine: an
    entry that nobody could read may be what an agent's numbers lack.

    Raises:
        LedgerConflict: numbers jump ahead and no broken entry explains it.
    """
    result = Sorted()
    last: dict[Place, int] = {}
    unread = False
    for fact in read:
        if isinstance(fact, Broken):
            unread = True
            result.broken.append(fact)
            continue
        place, seq = fact.place, fact.event.seq
        holder = holders.get(place)
        if holder is None or holder.agent_id.bytes != fact.event.agent_id:
            result.broken.append(broken(fact, f"the agent does not hold row {fact.event.row}"))
            continue
        expected = last.get(place, holder.seq) + 1
        if seq < expected:
            result.again.append(fact)
            continue
        if seq > expected and not unread and quarantined_upto < holder.version:
            raise LedgerConflict(f"{fact.name} came after {expected - 1}")
        last[place] = seq
        result.new.append(fact)
    return result


def write_down(fact: Fact, holder: Holder, plans: Mapping[int, tuple[str, str]]) -> Entry:
    """The rows of a new fact; plans gives (symbol, strategy) by number.

    Raises:
        Unstorable: a number that NUMERIC(38,18) cannot hold exactly, an unknown kind or reason.
    """
    try:
        event = fact.event
        own_id = fact_id(event.agent_id, event.seq)
        trade = _trade(fact, own_id, holder, plans)
        return Entry(fact, holder, own_id, moment(event.slot), log_lines(event), trade)
    except (EngineError, ArithmeticError, KeyError, ValueError) as error:
        raise Unstorable(f"cannot be written down: {error!r}") from error


def _trade(
    fact: Fact, own_id: UUID, holder: Holder, plans: Mapping[int, tuple[str, str]]
) -> Trade[float] | None:
    """The trade as the event tells it: `closed` carries its entry too. None for other kinds."""
    event = fact.event
    if event.kind not in {"opened", "closed"}:
        return None
    # A row that was damaged may trade what cannot be: that is one agent's matter. Compared with the
    # record it would stand as a contradiction, and freeze everybody of its shard.
    if event.side not in {-1, 1} or event.leverage < 1 or not event.quantity > 0:
        said = f"side {event.side}, quantity {event.quantity}, leverage {event.leverage}"
        raise Unstorable(f"no position can have {said}")
    trade_id, entry_price, fees = own_id, event.price, event.fee_usd
    open_reason, opened_slot = event.reason, event.slot
    exit_price = pnl_usd = close_reason = closed_at = None
    if event.kind == "closed":
        trade_id, entry_price = fact_id(event.agent_id, event.trade_seq), event.entry_price
        fees = float(exact(event.entry_fee_usd) + exact(event.fee_usd))
        open_reason, opened_slot = event.open_reason, event.opened_slot
        exit_price, pnl_usd = event.price, event.pnl_usd
        close_reason, closed_at = _word(event.reason), moment(event.slot)
    check_exact(event.quantity, entry_price, fees, exit_price or 0.0, pnl_usd or 0.0)
    symbol, strategy = plans.get(fact.plan_id, (holder.symbol, holder.strategy_name))
    if fact.plan_id == holder.plan_id:
        strategy = holder.strategy_name  # the owner's word for it: a strategy may have two names
    return Trade(
        trade_id,
        holder.agent_id,
        holder.user_id,
        0,
        symbol,
        "long" if event.side > 0 else "short",
        strategy,
        event.quantity,
        event.leverage,
        entry_price,
        exit_price,
        fees,
        pnl_usd,
        _word(open_reason),
        close_reason,
        moment(opened_slot),
        closed_at,
        holder.mode,
    )


OPENING_FACTS: Final = ("agent_id", "side", "quantity", "leverage", "entry_price", "opened_at")
"""What `opened` and `closed` of one trade must agree on."""
_opening_facts = attrgetter(*OPENING_FACTS)


def same_entry(one: Trade[float], other: Trade[float]) -> bool:
    """Whether two tellings of a trade agree on how it was opened."""
    return bool(_opening_facts(one) == _opening_facts(other))


def agent_state(fact: Fact, before: tuple[int, str, str]) -> tuple[int, str, str]:
    """(applied_epoch, status, status_detail) of an agent after a fact."""
    epoch, status, detail = before
    word = _STATUS_WORDS.get(fact.status, status)
    if fact.event.kind == "failed":
        detail = fact.event.text.replace("\0", "?")  # which PostgreSQL takes in no text
    elif word == "stopped" and fact.status_reason != Reason.NONE:
        detail = _word(fact.status_reason)
    elif word != "error":  # its detail was said by the `failed` before
        detail = ""
    return max(fact.epoch, epoch), word, detail


def fact_id(agent_id: bytes, seq: int) -> UUID:
    """engine.events.event_id, four times as fast: a batch asks for thousands."""
    digest = bytearray(sha1(agent_id + str(seq).encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # version 5
    digest[8] = digest[8] & 0x3F | 0x80  # variant of RFC 9562
    return FastUUID(bytes(digest))


def line_id(entry: Entry, number: int) -> UUID:
    """Id of a log line: follows from the event's and the line's place in it."""
    if number == 0:
        return entry.id
    return FastUUID(((entry.id.int + number) % (1 << 128)).to_bytes(16, "big"))


@lru_cache(maxsize=4096)
def moment(slot: int) -> datetime:
    """The time of a slot (Unix seconds)."""
    return datetime.fromtimestamp(slot, UTC)


def check_exact(*values: float) -> None:
    """Raises Unstorable for a number of which NUMERIC(38,18) would not keep every digit."""
    for value in values:
        if not (_SURELY_EXACT <= abs(value) < _TOO_LARGE or value == 0):
            exact(value)


def exact(value: float) -> Decimal:
    """The engine's number digit for digit: float(exact(x)) == x.

    Raises:
        Unstorable: it is not finite, 1e20 or more, or has more than 18 decimals.
    """
    if not -_TOO_LARGE < value < _TOO_LARGE:
        raise Unstorable(f"{value!r} is no number that can be kept")
    number = Decimal(repr(value))
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -DECIMALS:
        raise Unstorable(f"{value!r} has more than {DECIMALS} decimals")
    return number


@lru_cache(maxsize=64)
def _word(reason: int) -> str:
    return Reason(reason).name.lower()

"""From events to rows of the record. Pure: no database, no clock; the same events, the same rows.

An event's number must follow the last one that is stored of its agent. One that jumps ahead
means that something was lost, one that comes again must be what is stored: anything else is a
LedgerConflict, which freezes the shard. One that cannot be read or written down is Broken.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, TypeAlias
from uuid import UUID

from adapters.db.errors import LedgerConflict, Unstorable
from adapters.db.records import DECIMALS, DIGITS, ShardEvents, Trade
from engine.errors import EngineError
from engine.events import Event, decode_event, event_id, log_lines
from engine.rows import ROW, ROWS_PER_SHARD, Reason, RowStatus, rows_from_bytes

Place: TypeAlias = tuple[int, int]
"""(shard, row)"""
Line: TypeAlias = tuple[str, str]
"""(level, message)"""

_NO_TIME: Final = datetime.fromtimestamp(0, UTC)
_TOO_LARGE: Final = 10.0 ** (DIGITS - DECIMALS)
_SHORT: Final = DECIMALS + 1  # characters of a plain number that cannot have too many decimals
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
    agent_id: UUID
    epoch: int = 0
    status: int = 0
    status_reason: int = 0
    plan_id: int = 0

    @property
    def place(self) -> Place:
        """Where its agent lies."""
        return self.shard, self.event.row


@dataclass(frozen=True, slots=True)
class Broken:
    """An entry that goes to quarantine, and why."""

    shard: int
    version: int
    n: int
    payload: bytes
    reason: str


@dataclass(slots=True)
class Holder:
    """The agent of a place as the record knows it: its newest stored event and its state."""

    agent_id: UUID
    seq: int
    version: int
    user_id: UUID
    symbol: str
    strategy_name: str
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
    ts: datetime = _NO_TIME
    lines: Sequence[Line] = ()
    trade: Trade | None = None  # seq is not known yet


def broken(fact: Fact, reason: str) -> Broken:
    """The fact as it goes to quarantine."""
    return Broken(fact.shard, fact.version, fact.n, fact.payload, reason)


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
            if len(event.row_after) != ROW.itemsize:
                raise Unstorable(f"a row of {len(event.row_after)} bytes")
            agent = UUID(bytes=event.agent_id)
        except (EngineError, Unstorable, ValueError) as error:
            read.append(Broken(events.shard, version, n, payload, f"cannot be read: {error}"))
        else:
            read.append(Fact(events.shard, version, n, payload, event, agent))
    return _with_rows(read)


def _with_rows(read: list[Fact | Broken]) -> list[Fact | Broken]:
    """Fills in what the facts' rows say; a row that is not its event's breaks the fact."""
    facts = [entry for entry in read if isinstance(entry, Fact)]
    rows = rows_from_bytes(b"".join(fact.event.row_after for fact in facts))
    agents = rows["agent_id"].tobytes()
    columns = (rows[name].tolist() for name in ("seq", "epoch", "status", "status_reason"))
    wrong: dict[int, str] = {}
    for i, (fact, seq, epoch, status, reason, plan_id) in enumerate(
        zip(facts, *columns, rows["plan_id"].tolist(), strict=True)
    ):
        fact.epoch, fact.status, fact.status_reason, fact.plan_id = epoch, status, reason, plan_id
        event = fact.event
        of_event = agents[16 * i : 16 * i + 16] == event.agent_id and seq == event.seq
        if not of_event or not 0 <= event.row < ROWS_PER_SHARD:
            wrong[id(fact)] = "its row is not the one after it"
        elif status not in _STATUSES or reason not in _REASONS:
            wrong[id(fact)] = f"its row has status {status} for reason {reason}"
    if not wrong:
        return read
    return [
        broken(e, wrong[id(e)]) if isinstance(e, Fact) and id(e) in wrong else e for e in read
    ]


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
        holder = holders.get(fact.place)
        if holder is None or holder.agent_id != fact.agent_id:
            reason = f"agent {fact.agent_id} does not hold row {fact.event.row}"
            result.broken.append(broken(fact, reason))
            continue
        expected = last.get(fact.place, holder.seq) + 1
        seq = fact.event.seq
        if seq < expected:
            result.again.append(fact)
            continue
        if seq > expected and not unread and quarantined_upto < holder.version:
            raise LedgerConflict(
                f"event {seq} of agent {fact.agent_id} (entry {fact.version}-{fact.n})"
                f" came after {expected - 1}"
            )
        last[fact.place] = seq
        result.new.append(fact)
    return result


def write_down(fact: Fact, holder: Holder, plans: Mapping[int, tuple[str, str]]) -> Entry:
    """The rows of a new fact; plans gives (symbol, strategy) by number.

    Raises:
        Unstorable: a number that NUMERIC(38,18) cannot hold exactly, an unknown kind or reason.
    """
    try:
        ts = moment(fact.event.slot)
        return Entry(fact, holder, ts, log_lines(fact.event), _trade(fact, holder, plans))
    except (EngineError, ArithmeticError, KeyError, ValueError) as error:
        raise Unstorable(f"cannot be written down: {error!r}") from error


def _trade(fact: Fact, holder: Holder, plans: Mapping[int, tuple[str, str]]) -> Trade | None:
    """The trade as the event tells it: `closed` carries its entry too. None for other kinds."""
    event = fact.event
    if event.kind not in {"opened", "closed"}:
        return None
    opened = event.kind == "opened"
    symbol, strategy = plans.get(fact.plan_id, (holder.symbol, holder.strategy_name))
    fee = exact(event.fee_usd)
    return Trade(
        id=event_id(event.agent_id, event.seq if opened else event.trade_seq),
        agent_id=fact.agent_id,
        user_id=holder.user_id,
        seq=0,
        symbol=symbol,
        side="long" if event.side > 0 else "short",
        strategy_name=strategy,
        quantity=exact(event.quantity),
        leverage=event.leverage,
        entry_price=exact(event.price if opened else event.entry_price),
        exit_price=None if opened else exact(event.price),
        fee_usd=fee if opened else exact(event.entry_fee_usd) + fee,
        pnl_usd=None if opened else exact(event.pnl_usd),
        open_reason=_word(event.reason if opened else event.open_reason),
        close_reason=None if opened else _word(event.reason),
        opened_at=moment(event.slot if opened else event.opened_slot),
        closed_at=None if opened else moment(event.slot),
        mode=holder.mode,
    )


def same_entry(one: Trade, other: Trade) -> bool:
    """Whether two tellings of a trade agree on how it was opened."""
    return _entry(one) == _entry(other)


def _entry(trade: Trade) -> tuple[object, ...]:
    return trade.agent_id, trade.side, trade.quantity, trade.entry_price, trade.opened_at


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


def line_id(fact: Fact, number: int) -> UUID:
    """Id of a log line: follows from the event's and the line's place in it."""
    first = event_id(fact.event.agent_id, fact.event.seq)
    return first if number == 0 else UUID(int=(first.int + number) % (1 << 128))


@lru_cache(maxsize=4096)
def moment(slot: int) -> datetime:
    """The time of a slot (Unix seconds)."""
    return datetime.fromtimestamp(slot, UTC)


def exact(value: float) -> Decimal:
    """The engine's number digit for digit: float(exact(x)) == x.

    Raises:
        Unstorable: it is not finite, 1e20 or more, or has more than 18 decimals.
    """
    text = repr(value)
    if not -_TOO_LARGE < value < _TOO_LARGE:
        raise Unstorable(f"{text} is no number that can be kept")
    number = Decimal(text)
    if len(text) > _SHORT or "e" in text:
        exponent = number.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -DECIMALS:
            raise Unstorable(f"{text} has more than {DECIMALS} decimals")
    return number


@lru_cache(maxsize=64)
def _word(reason: int) -> str:
    return Reason(reason).name.lower()

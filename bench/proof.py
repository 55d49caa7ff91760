"""What must hold at the end of bench.trades, each as a function that says what does not.

Three accounts of the same run are held against each other: the streams as they were taken down,
PostgreSQL, and the WebSocket; and a fourth, worked out anew from prices, signals and commands.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from bench.hub_client import Listener
from bench.recompute_rules import Command, Start, Stop
from engine.events import Event

Events = Mapping[UUID, Sequence[Event]]

ROUND_TRIPS_MIN = 200
_SHOWN_MAX = 5
_BY_USER, _DELETED = 12, 10


@dataclass(frozen=True, slots=True)
class Ask:
    """One call over REST that changed what is wanted; seconds by time.time()."""

    agent_id: UUID
    what: str
    answered: float
    close_position: bool = True


@dataclass(frozen=True, slots=True)
class Ledger:
    """PostgreSQL at the end."""

    trades: Sequence[Mapping[str, Any]]
    messages: Sequence[tuple[int, str, UUID]]
    message_seq: int
    quarantined: int
    frozen: Sequence[int]
    row_seqs: Mapping[UUID, int]
    """The number of each agent's last stored event, of agents that still have a row."""


def some(problems: Iterable[str]) -> list[str]:
    """The first few, and how many more."""
    found = list(problems)
    more = len(found) - _SHOWN_MAX
    return [*found[:_SHOWN_MAX], f"... and {more} more like it"] if more > 0 else found


def enough_trades(events: Events) -> list[str]:
    """Round trips of every kind that was promised."""
    closed = [event for own in events.values() for event in own if event.kind == "closed"]
    sides = Counter("long" if event.side > 0 else "short" for event in closed)
    reasons = reasons_of(events)
    by_market = sum(reasons[why] for why in ("stop_loss", "take_profit", "signal"))
    problems = []
    if by_market < ROUND_TRIPS_MIN:
        problems.append(
            f"only {by_market} round trips by stop, target or signal, {ROUND_TRIPS_MIN} are needed"
        )
    problems += [f"no {side} round trip" for side in ("long", "short") if not sides[side]]
    wanted = (
        *("stop_loss", "take_profit", "signal", "stopped", "deleted"),
        *("trailing_stop", "time_stop", "drawdown"),
    )
    problems += [f"no round trip closed by {why}" for why in wanted if not reasons[why]]
    return problems


REASONS = {
    1: "signal",
    2: "take_profit",
    3: "stop_loss",
    4: "trailing_stop",
    5: "supervisor",
    6: "liquidation",
    7: "session_loss",
    8: "drawdown",
    9: "stopped",
    10: "deleted",
    13: "time_stop",
}
"""Numbers in events, words in the ledger; written down here once more on purpose."""


def reasons_of(events: Events) -> Counter[str]:
    """Round trips by what closed them."""
    return Counter(
        REASONS[event.reason] for own in events.values() for event in own if event.kind == "closed"
    )


def whole_recording(events: Events, ledger: Ledger) -> list[str]:
    """Each agent's events are numbered 1, 2, 3 ... up to the last one its row knows of."""
    problems = []
    for agent, own in events.items():
        seqs = [event.seq for event in own]
        if seqs != list(range(1, len(seqs) + 1)):
            problems.append(f"agent {agent}: events {seqs} of the stream have gaps or repeats")
        last = ledger.row_seqs.get(agent)
        if last is None and own[-1].kind != "deleted":
            problems.append(f"agent {agent} is not on record, its last event is {own[-1].kind}")
        if last is not None and last != len(seqs):
            problems.append(f"agent {agent}: {len(seqs)} events in the stream, row says {last}")
    problems += [f"agent {agent} has no event" for agent in ledger.row_seqs if agent not in events]
    return problems


def stored_once(events: Events, ledger: Ledger) -> list[str]:
    """Every trade of the streams is in PostgreSQL once, with the same numbers, and no other."""
    problems = [f"shard {shard} is frozen" for shard in ledger.frozen]
    if ledger.quarantined:
        problems.append(f"{ledger.quarantined} events in quarantine")
    rows = {row["id"]: row for row in ledger.trades}
    if len(rows) != len(ledger.trades):
        problems.append("a trade is more than once in PostgreSQL")
    for agent, own in events.items():
        for event in own:
            if event.kind == "opened":
                row = rows.get(uuid5(agent, str(event.seq)))
                if row is None:
                    problems.append(f"agent {agent}: trade {event.seq} is not in PostgreSQL")
                elif float(row["entry_price"]) != event.price:
                    problems.append(f"agent {agent}: trade {event.seq} has another entry price")
            elif event.kind == "closed":
                row = rows.pop(uuid5(agent, str(event.trade_seq)), None)
                problems += _closed_otherwise(agent, event, row)
    problems += [f"trade {trade} is open or in no stream" for trade in rows]
    return problems


def _closed_otherwise(agent: UUID, event: Event, row: Mapping[str, Any] | None) -> list[str]:
    if row is None:
        return [f"agent {agent}: the close of trade {event.trade_seq} has no row of its own"]
    kept = (row["exit_price"], row["pnl_usd"])
    if None in kept or tuple(map(float, kept)) != (event.price, event.pnl_usd):
        return [f"agent {agent}: trade {event.trade_seq} is closed otherwise: {kept}"]
    if row["close_reason"] != REASONS[event.reason] or row["closed_at"].timestamp() != event.slot:
        return [f"agent {agent}: trade {event.trade_seq} has another reason or time of its close"]
    return []


def told_once(listener: Listener, ledger: Ledger) -> list[str]:
    """The WebSocket brought every message that PostgreSQL has, each once, in order."""
    problems = [f"the WebSocket ended: {listener.ended}"] if listener.ended else []
    problems += [f"the WebSocket said {message}" for message in listener.others]
    seqs = listener.seqs()
    if seqs != list(range(1, ledger.message_seq + 1)):
        lacking = sorted(set(range(1, ledger.message_seq + 1)) - set(seqs))
        problems.append(
            f"{len(seqs)} messages for {ledger.message_seq} numbers; lacking {lacking[:10]}"
        )
    told = [(int(f["seq"]), str(f["type"]), UUID(f["agent_id"])) for f in listener.facts]
    if told != list(ledger.messages):
        problems.append("the messages of the WebSocket are not those of PostgreSQL")
    wanted = Counter((str(row["id"]), word) for row in ledger.trades for word in _words(row))
    heard = Counter(
        (fact["data"]["trade"]["id"], fact["data"]["event"])
        for fact in listener.facts
        if fact["type"] == "trade"
    )
    problems += [f"trade {key} was told {heard[key]} times" for key in wanted | heard
                 if heard[key] != 1 or wanted[key] != 1]  # fmt: skip
    return problems


def _words(row: Mapping[str, Any]) -> tuple[str, ...]:
    return ("opened",) if row["closed_at"] is None else ("opened", "closed")


def stops_kept(events: Events, asks: Iterable[Ask]) -> list[str]:
    """After the answer to a stop no later slot opened anything, until the next start."""
    problems = []
    by_agent: dict[UUID, list[Ask]] = {}
    for ask in asks:
        by_agent.setdefault(ask.agent_id, []).append(ask)
    for agent, own in by_agent.items():
        for ask, following in zip(own, [*own[1:], None], strict=True):
            until = following.answered - 1 if following is not None else float("inf")
            if ask.what == "start":
                continue
            opened = [e.slot for e in events.get(agent, ()) if e.kind == "opened"]
            late = [slot for slot in opened if int(ask.answered) < slot < until]
            problems += [
                f"agent {agent} opened in slot {slot} after its {ask.what}" for slot in late
            ]
    return problems


def commands_of(events: Events, asks: Sequence[Ask]) -> tuple[dict[UUID, int], list[Command]]:
    """(first slot of each agent, later stops and starts): what was asked, with the slots that the
    pool stamped. What the engine did by itself, as at a loss limit, is not among them.
    """
    starts: dict[UUID, int] = {}
    commands: list[Command] = []
    for agent, own in events.items():
        closes = [a.close_position for a in asks if a.agent_id == agent and a.what == "stop"]
        deleting = False
        for event in own:
            if event.kind == "started":
                if agent in starts:
                    commands.append(Start(str(agent), event.slot))
                starts.setdefault(agent, event.slot)
            elif event.kind == "stopped" and event.reason == _BY_USER:
                close = closes.pop(0) if closes else True
                commands.append(Stop(str(agent), event.slot, close_position=close))
            elif not deleting and (event.kind == "deleted" or event.reason == _DELETED):
                # an open one stops at the command, and is deleted when it has been closed
                deleting = True
                commands.append(Stop(str(agent), event.slot, delete=True))
    return starts, commands


def only_expected(events: Events) -> list[str]:
    """None of the kinds of events that the recomputation knows nothing of."""
    unknown = Counter(
        event.kind
        for own in events.values()
        for event in own
        if event.kind in {"edited", "failed", "stale"}
    )
    return [f"{count} events `{kind}`: not expected here" for kind, count in unknown.items()]

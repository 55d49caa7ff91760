"""What must be true when a storm is over: nothing lost, doubled or decided otherwise."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np

from adapters.db.plans import plans_of
from adapters.plan_directory import publish_plans
from adapters.shard_records import Head
from adapters.shard_store import ShardStore
from engine.events import Event, decode_event, event_id
from engine.rows import Rows, RowStatus, empty_rows
from engine.schemas import record_from_bytes
from tests.simulation.fleet import OWNER, Fleet
from tests.simulation.reference import Decided, undisturbed
from tests.simulation.users import Promise
from tests.simulation.witness import SHARDS, Violation, Witness

RECOVERED_S = 2
"""A shard that is this far behind has not recovered."""


async def check_alive(fleet: Fleet, witness: Witness, since: int) -> None:
    """With everything still at work: every shard has ticked since a slot, every wish is met."""
    store = ShardStore(fleet.open_redis())
    now = int(fleet.loop.now)
    for record in fleet.side.ask("SELECT id, frozen FROM shards"):
        if record["frozen"] is not None:
            raise Violation(f"shard {record['id']} is frozen: {record['frozen']}")
    wanted = fleet.side.ask("SELECT id, shard, row, epoch, wanted FROM agents")
    for shard in range(SHARDS):
        state = await store.read(shard)
        if state is None or state.head.run_id != fleet.redis.run_id:
            raise Violation(f"shard {shard} was not recovered")
        mine = [each for each in wanted if each["shard"] == shard]
        if _ticks_each_slot(state.rows) and state.head.slot < max(now - RECOVERED_S, since + 1):
            raise Violation(f"shard {shard} stands at slot {state.head.slot}, it is {now}")
        for each in mine:
            if each["id"].bytes not in witness.poisoned:
                _check_wish(shard, state.rows, dict(each))


def _ticks_each_slot(rows: Rows) -> bool:
    running = rows[rows["status"] == RowStatus.RUNNING]
    return bool(((running["interval"] == 1) | (running["side"] != 0)).any())


def _check_wish(shard: int, rows: Rows, agent: Mapping[str, Any]) -> None:
    met = int(rows[agent["row"]]["epoch"]) if agent["row"] < len(rows) else 0
    if met < agent["epoch"]:
        raise Violation(
            f"agent {agent['id']} of shard {shard} is wanted {agent['wanted']} since epoch"
            f" {agent['epoch']}, its row has seen {met}"
        )
    if rows[agent["row"]]["agent_id"].tobytes() != agent["id"].bytes:
        raise Violation(f"agent {agent['id']} of shard {shard} is not in its row")


async def lay_tables(fleet: Fleet, witness: Witness) -> None:
    """The undisturbed run finds every plan, and the signals and readings that were used."""
    redis = fleet.open_redis()
    ids = [row["id"] for row in fleet.side.ask("SELECT id FROM plans")]
    await publish_plans(redis, (await plans_of(fleet.pool.database(), ids)).values())
    for name, table in witness.tables_used().items():
        await redis.set(name, table)


async def check_record(fleet: Fleet, witness: Witness, promises: Sequence[Promise]) -> int:
    """When the ledger has stored everything. Answers how many fills were compared."""
    store = ShardStore(fleet.open_redis())
    journal = _journal(fleet)
    await lay_tables(fleet, witness)
    facts: list[Event] = []
    for shard in range(SHARDS):
        head, rows = await _state(store, shard)
        decided = await undisturbed(fleet, witness, shard, head.slot)
        compare_events(shard, decided, journal[shard], witness)
        compare_rows(shard, decided.rows, rows, witness)
        check_missed(shard, witness)
        facts += [decode_event(payload) for payload in journal[shard]]
    facts = [each for each in facts if each.agent_id not in witness.poisoned]
    check_promises(facts, promises)
    check_trades(fleet, witness, facts)
    check_messages(fleet)
    return sum(each.kind in {"opened", "closed"} for each in facts)


def _journal(fleet: Fleet) -> dict[int, list[bytes]]:
    """What the ledger stored of each shard, in the order of slots, agents, numbers."""
    journal: dict[int, list[bytes]] = defaultdict(list)
    for row in fleet.side.ask("SELECT shard, payload FROM journal ORDER BY agent_id, seq"):
        journal[row["shard"]].append(row["payload"])
    return journal


async def _state(store: ShardStore, shard: int) -> tuple[Head, Rows]:
    state = await store.read(shard)
    if state is None:
        raise Violation(f"shard {shard} has no head")
    return state.head, state.rows


def compare_events(shard: int, decided: Decided, stored: Sequence[bytes], witness: Witness) -> None:
    """The undisturbed run's events are those that are stored, each once, digit for digit."""
    mine, theirs = _by_number(decided.events, witness), _by_number(stored, witness)
    wrong = [
        each
        for each in {**mine, **theirs}
        if each not in mine
        or each not in theirs
        or _comparable(mine[each]) != _comparable(theirs[each])
    ]
    if not wrong:
        return
    first = min(wrong, key=lambda each: (theirs.get(each) or mine[each]).slot)
    one, other = mine.get(first), theirs.get(first)
    text = f"shard {shard}: undisturbed {_shown(one)}\nit was {_shown(other)}"
    if one is not None and other is not None:
        text += _differences(one, other)
    raise Violation(text)


def _by_number(payloads: Sequence[bytes], witness: Witness) -> dict[tuple[bytes, int], Event]:
    events = map(decode_event, payloads)
    return {(e.agent_id, e.seq): e for e in events if e.agent_id not in witness.poisoned}


def _comparable(event: Event) -> tuple[object, ...]:
    """The words of a strategy that failed are no decision: who failed says them."""
    values = {name: getattr(event, name) for name in Event.__struct_fields__}
    return tuple(value for name, value in values.items() if name != "text")


def _shown(event: Event | None) -> str:
    if event is None:
        return "nothing"
    agent = UUID(bytes=event.agent_id)
    return (
        f"{event.kind} {event.seq} of agent {agent} (row {event.row}) in slot {event.slot},"
        f" reason {event.reason}, price {event.price}, quantity {event.quantity}, {event.text}"
    )


def _differences(one: Event, other: Event) -> str:
    rows = [record_from_bytes(event.row_after)[0] for event in (one, other)]
    names = [n for n in rows[0].dtype.names or () if rows[0][n].tobytes() != rows[1][n].tobytes()]
    return f"\nrows differ in {', '.join(f'{n}: {rows[0][n]} {rows[1][n]}' for n in names)}"


def compare_rows(shard: int, decided: Rows, rows: Rows, witness: Witness) -> None:
    """The table in Redis is the undisturbed run's."""
    size = max(len(decided), len(rows))
    one, other = (np.concatenate([each, empty_rows(size - len(each))]) for each in (decided, rows))
    for row in range(size):
        if one[row]["agent_id"].tobytes() in witness.poisoned:
            continue
        if one[row].tobytes() != other[row].tobytes():
            names = one.dtype.names or ()
            wrong = [name for name in names if one[row][name] != other[row][name]]
            told = ", ".join(f"{name}: {one[row][name]} {other[row][name]}" for name in wrong)
            raise Violation(f"shard {shard}, row {row}: undisturbed and as it is, {told}")


def check_missed(shard: int, witness: Witness) -> None:
    """A slot was missed only where it had no frame, its frame was lost, or all was lost."""
    history = witness.shards[shard]
    lost = {s for each in history.lost for s in range(each.first, each.last + 1)}
    for slot in sorted(history.slots_not_run(paused=False) - lost):
        if slot in witness.frames and slot not in witness.lost_frames:
            raise Violation(f"shard {shard} missed slot {slot}, which has a frame")


def check_promises(facts: Sequence[Event], promises: Sequence[Promise]) -> None:
    """After a stop that was answered nothing is opened under an older wish."""
    for event in facts:
        if event.kind != "opened":
            continue
        for promise in promises:
            older = int(record_from_bytes(event.row_after)[0]["epoch"]) < promise.epoch
            if event.agent_id == promise.agent_id.bytes and older and event.slot > promise.slot:
                raise Violation(f"opened after a stop was answered: {_shown(event)}, {promise}")


def check_trades(fleet: Fleet, witness: Witness, facts: Sequence[Event]) -> None:
    """Every fill is one decision's; a position is the sum of its fills; the ledger has both."""
    stored = {row["id"]: row for row in fleet.side.ask("SELECT * FROM trades")}
    position: dict[bytes, Decimal] = defaultdict(Decimal)
    expected: dict[UUID, Event] = {}
    for event in facts:
        if event.kind == "opened":
            expected[event_id(event.agent_id, event.seq)] = event
            position[event.agent_id] += Decimal(repr(event.quantity)) * event.side
        elif event.kind == "closed":
            expected[event_id(event.agent_id, event.trade_seq)] = event
            position[event.agent_id] -= Decimal(repr(event.quantity)) * event.side
        row = record_from_bytes(event.row_after)[0]
        held = Decimal(repr(float(row["quantity"]))) * int(row["side"])
        if position[event.agent_id] != held:
            raise Violation(f"fills sum up to {position[event.agent_id]}: {_shown(event)}")
    mine = {i: r for i, r in stored.items() if r["agent_id"].bytes not in witness.poisoned}
    if mine.keys() != expected.keys():
        raise Violation(f"trades {mine.keys() ^ expected.keys()} are stored or decided alone")
    for trade_id, event in expected.items():
        _check_trade(dict(mine[trade_id]), event)


def _check_trade(trade: Mapping[str, Any], event: Event) -> None:
    closed = event.kind == "closed"
    told = {
        "agent_id": event.agent_id,
        "side": "long" if event.side > 0 else "short",
        "quantity": event.quantity,
        "entry_price": event.entry_price if closed else event.price,
        "exit_price": event.price if closed else None,
        "pnl_usd": event.pnl_usd if closed else None,
        "leverage": event.leverage,
    }
    for name, value in told.items():
        kept = trade[name]
        kept = kept.bytes if isinstance(kept, UUID) else kept
        kept = float(kept) if isinstance(kept, Decimal) else kept
        if kept != value:
            raise Violation(f"trade {trade['id']} has {name} {kept!r}, decided was {value!r}")


def check_messages(fleet: Fleet) -> None:
    """A user's messages are numbered without gaps, up to the number that is noted."""
    newest = fleet.side.ask("SELECT message_seq FROM users WHERE id = $1", OWNER)[0][0]
    seqs = [row[0] for row in fleet.side.ask("SELECT seq FROM messages ORDER BY seq")]
    if seqs != list(range(1, newest + 1)):
        raise Violation(f"{newest} messages were numbered, {len(seqs)} are kept")

"""What watched agents are told of: when, and in exactly the bytes of a status encoded whole."""

import json
from collections.abc import Mapping
from uuid import UUID

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapters.db.agents import Agent
from api.live_agents import ShardLook, WatchedAgent
from api.sights import CANNOT_RUN, FILTERED
from api.status import Sight, agent_status
from api.status_words import StatusWord, row_of
from api.tick_lines import Schedule, held_of, tick_line, ticked_slots
from api.times import iso_seconds
from api.websocket_protocol import status_message
from engine.rows import ROW, Rows, empty_rows
from engine.schedule import SkippedRange
from tests.api.rows import START, TestHead, advanced, agent, sight

Said = tuple[bytes | None, bytes | None]


def look(
    watched: WatchedAgent,
    head: TestHead,
    rows: Rows,
    *,
    word: StatusWord | None = None,
    price: float = 100.0,
) -> Said:
    """(status, tick lines) of the one agent of a shard; prices rise by one each slot."""
    shard = ShardLook(head, [watched], rows[:1], [word])
    sights = {
        slot: {each.plan_id: sight(price + slot - START) for each in agents}
        for slot, agents in shard.wanted().items()
    }
    told = list(shard.told(sights, sights[head.slot])) if shard.is_needed else []
    return (told[0].status, told[0].lines) if told else (None, None)


def test_a_watched_agent_says_each_tick_once_and_lines_in_tens() -> None:
    watched = WatchedAgent(agent())
    rows = advanced(None, START, 100.0, wanted=agent())
    statuses, batches = 0, 0
    for slot in range(START, START + 25):
        for _ in range(2):  # the second look finds nothing new
            status, lines = look(watched, TestHead(slot), rows)
            statuses += status is not None
            batches += lines is not None
    assert (statuses, batches) == (25, 2)
    status, lines = look(watched, TestHead(START + 40), rows)
    assert lines is not None
    assert lines.count(b'"level":"tick"') == 5 + 16
    message = json.loads(lines)
    assert (message["type"], message["seq"]) == ("log", None)
    assert message["ts"] == message["data"]["entries"][-1]["ts"] == iso_seconds(START + 40)
    stopped = advanced(rows, START + 41, 100.0, wanted=agent(epoch=2, wanted="stopped"))
    status, _ = look(watched, TestHead(START + 41), stopped)
    assert status is not None
    assert b'"status":"stopped"' in status
    status, _ = look(watched, TestHead(START + 60), stopped)
    assert status is None


def test_a_watched_agent_has_the_word_of_its_container() -> None:
    watched = WatchedAgent(agent())
    rows = advanced(None, START, 100.0, wanted=agent())
    words: list[StatusWord | None] = ["creating", "error", None, None]
    told = []
    for word in words:  # the last look finds nothing new
        status, _ = look(watched, TestHead(START), rows, word=word)
        told.append(None if status is None else json.loads(status)["data"]["status"])
    assert told == ["creating", "error", "running", None]


def test_an_hourly_agent_is_told_of_once_an_hour() -> None:
    hourly = agent(interval_seconds=3600)
    watched = WatchedAgent(hourly)
    rows = advanced(None, START, 100.0, wanted=hourly)
    told = []
    for slot in (START, START + 1, START + 1800, START + 3600, START + 3601, START + 7200):
        status, _ = look(watched, TestHead(slot), rows)
        told.append(status is not None)
    assert told == [True, False, False, True, False, True]


def test_an_edit_shows_without_a_tick() -> None:
    hourly = agent(interval_seconds=3600)
    watched = WatchedAgent(hourly)
    rows = advanced(None, START, 100.0, wanted=hourly)
    look(watched, TestHead(START), rows)
    watched.agent = msgspec.structs.replace(hourly, halt=1)
    assert look(watched, TestHead(START + 1), rows) == (None, None)
    watched.agent = msgspec.structs.replace(hourly, halt=1, epoch=2)
    status, _ = look(watched, TestHead(START + 2), rows)
    assert status is not None
    assert json.loads(status)["data"]["halt"] == "reducing"


def test_a_line_of_before_a_trade_shows_what_was_held_then() -> None:
    watched = WatchedAgent(agent())
    flat = advanced(None, START, 100.0, wanted=agent())
    look(watched, TestHead(START), flat)
    opened = advanced(flat, START + 5, 100.0, 0.9)
    look(watched, TestHead(START + 6), opened)
    _, lines = look(watched, TestHead(START + 20), opened)
    assert lines is not None
    entries = json.loads(lines)["data"]["entries"]
    held = [entry["message"].rpartition(", ")[2] for entry in entries]
    assert held[:5] == ["flat"] * 5  # START to START + 4
    assert all(text.startswith("P&L") for text in held[5:])


def test_a_slot_whose_frame_is_gone_has_a_status_and_no_line() -> None:
    watched = WatchedAgent(agent())
    rows = advanced(None, START, 100.0, wanted=agent())
    shard = ShardLook(TestHead(START), [watched], rows, [None])
    told = list(shard.told({}, {1: sight(None)}))
    assert json.loads(told[0].status)["data"]["price"] is None
    assert watched.lines == []


AGENTS = [UUID(int=n) for n in range(3)]
SLOT = 10_000
FLOATS = st.floats(-1e9, 1e9)
PRICES = st.floats(1e-9, 1e9)
TEXT = st.text(max_size=12)
SIGHTS = st.builds(
    Sight,
    source=TEXT,
    price=st.none() | PRICES,
    price_time=st.none() | st.floats(0, 2e9),
    stale=st.booleans(),
    signal=st.none() | st.floats(-1, 1),
    detail=TEXT,
    silenced=st.sampled_from(["", CANNOT_RUN, FILTERED]),
)
"""What one plan may see."""


@st.composite
def records(draw: st.DrawFn) -> np.void:
    """A record that may stand in a row: bytes within what each field may hold."""
    row = empty_rows(1)
    row["agent_id"] = np.frombuffer(draw(st.sampled_from(AGENTS)).bytes, "V16")
    for name in ("realized_pnl_usd", "fees_usd"):
        row[name] = draw(FLOATS)
    row["threshold"] = draw(st.floats(0, 1))
    if draw(st.booleans()):
        row["side"] = draw(st.sampled_from([-1, 1]))
        for name in ("entry_price", "quantity"):
            row[name] = draw(PRICES)
        for name in ("stop_loss_price", "take_profit_price"):
            row[name] = draw(st.just(0.0) | PRICES)
    for name in ("start_slot", "opened_slot", "action_slot"):
        row[name] = draw(st.integers(SLOT - 100, SLOT + 5))
    row["leverage"] = draw(st.integers(1, 125))
    row["interval"] = draw(st.sampled_from([1, 1, 2, 7, 60]))
    row["epoch"] = draw(st.integers(1, 3))
    for name in ("ticks_base", "missed_base"):
        row[name] = draw(st.integers(0, 1_000))
    for name, most in (("status", 3), ("flags", 127), ("last_action", 3), ("last_reason", 13),
                       ("status_reason", 13), ("halt", 2), ("max_trades_per_day", 2),
                       ("trades_that_day", 3), ("cooldown_s", 50)):  # fmt: skip
        row[name] = draw(st.integers(0, most))
    found: np.void = row[0]
    return found


@st.composite
def heads(draw: st.DrawFn) -> TestHead:
    """A head with ranges of slots that were not run, ascending and disjoint."""
    bounds = sorted(draw(st.lists(st.integers(SLOT - 120, SLOT), max_size=6, unique=True)))
    ranges = zip(bounds[::2], bounds[1::2], strict=False)
    skipped = tuple(SkippedRange(a, b - 1, draw(st.booleans())) for a, b in ranges if a < b)
    return TestHead(SLOT, skipped, draw(st.sampled_from([0, SLOT - 110])))


@st.composite
def wanted_agents(draw: st.DrawFn) -> Agent:
    """The record of an agent."""
    return agent(
        id=draw(st.sampled_from(AGENTS)),
        symbol=draw(st.sampled_from(["BTC/USDT", 'a"b/\u00e9'])),
        strategy_name=draw(TEXT),
        wanted=draw(st.sampled_from(["running", "stopped"])),
        epoch=draw(st.integers(1, 3)),
        plan_id=draw(st.integers(1, 2)),
        halt=draw(st.integers(0, 2)),
        fleet_halt=draw(st.integers(0, 2)),
    )


def plain_status(
    each: Agent, row: np.void | None, head: TestHead, seen: Sight, word: StatusWord | None
) -> bytes:
    """The message as it is made of one AgentStatus."""
    status = agent_status(each, row, head, seen)
    if word is not None and status.status == "running":
        status = msgspec.structs.replace(status, status=word)
    return status_message(status, iso_seconds(head.slot))


def plain_lines(
    row: np.void, head: TestHead, sights: Mapping[int, Sight], first: int
) -> list[bytes]:
    """The tick lines of the slots from `first` on that have a sight, while nothing has changed."""
    schedule = Schedule(int(row["start_slot"]), int(row["interval"]))
    slots = ticked_slots(schedule, first, head.slot, head.skipped)
    changed = int(row["action_slot"])
    return [
        msgspec.json.encode(
            tick_line(slot, sights[slot], held_of(row) if slot >= changed else None)
        )
        for slot in slots
        if row["status"] == 1 and slot in sights
    ]


@given(
    shard=st.lists(
        st.tuples(wanted_agents(), records(), st.sampled_from([None, "creating", "error"])),
        min_size=1,
        max_size=4,
    ),
    head=heads(),
    sights=st.tuples(SIGHTS, SIGHTS),
    behind=st.integers(0, 5),
)
def test_what_is_put_together_from_pieces_is_what_is_encoded_whole(
    shard: list[tuple[Agent, np.void, StatusWord | None]],
    head: TestHead,
    sights: tuple[Sight, Sight],
    behind: int,
) -> None:
    rows = np.array([record for _, record, _ in shard], ROW)
    watched = [WatchedAgent(each, slot=SLOT - behind if behind else 0) for each, _, _ in shard]
    seen = {1: sights[0], 2: sights[1]}
    looked = ShardLook(head, watched, rows, [word for _, _, word in shard])
    told = list(looked.told(dict.fromkeys(range(SLOT - 10, SLOT + 1), seen), seen))
    assert len(told) == len(shard)
    for (each, record, word), said in zip(shard, told, strict=True):
        row = row_of(each, record)
        assert said.status == plain_status(each, row, head, seen[each.plan_id], word)
        json.loads(said.status)
        if row is None:
            assert said.lines is None
            continue
        by_slot = dict.fromkeys(range(SLOT - 10, SLOT + 1), seen[each.plan_id])
        first = SLOT - behind + 1 if behind else SLOT
        assert said.watched.lines == plain_lines(row, head, by_slot, first)
    again = ShardLook(head, watched, rows, [word for _, _, word in shard])
    assert not again.is_needed

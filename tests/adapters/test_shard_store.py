"""The commit: what it refuses, and that a refusal writes nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapters import redis_keys as keys
from adapters.errors import ShardFull
from adapters.redis_client import Redis, command
from adapters.shard_records import (
    WHOLE_TABLE_ABOVE,
    Commit,
    Committed,
    Head,
    ShardState,
    changed_ranges,
    decode_ticked,
)
from adapters.shard_store import ShardStore
from engine.rows import ROW, ROW_SCHEMA, empty_rows
from engine.schedule import SkippedRange

SHARD = 7


@pytest.fixture
def redis(either_redis: Redis) -> Redis:
    """The scripts do the same on a real server and on the one in memory."""
    return either_redis


@pytest.fixture
async def store(redis: Redis) -> ShardStore:
    return ShardStore(redis)


async def now_slot(redis: Redis) -> int:
    return int((await command(redis, "TIME"))[0])


async def opened(store: ShardStore, slot_ago: int = 10, rows: int = 4) -> ShardState:
    """A shard that stands some slots before now."""
    slot = await now_slot(store.redis) - slot_ago
    run_id = await store.run_id()
    head = Head(1, slot, None, ROW_SCHEMA, run_id, (), 0, paused=False)
    assert await store.open(SHARD, run_id, None, ShardState(head, empty_rows(rows), ()), [])
    state = await store.read(SHARD)
    assert state is not None
    return state


def outcome(state: ShardState, **changes: Any) -> Commit:
    """What a tick of the next slot might want to write."""
    rows = state.rows.copy()
    rows["seq"][2] = 9
    slot, changed = state.head.slot + 1, np.array([2])
    return replace(Commit(slot, None, rows, changed, [b"one", b"two"], applied=0), **changes)


async def dump(redis: Redis) -> dict[bytes, object]:
    """Everything a commit could write."""
    return {
        b"head": await command(redis, "HGETALL", keys.shard_head(SHARD)),
        b"rows": await command(redis, "GET", keys.shard_rows(SHARD)),
        b"inbox": await command(redis, "LRANGE", keys.shard_inbox(SHARD), 0, -1),
        b"events": await command(redis, "XRANGE", keys.shard_events(SHARD), "-", "+"),
    }


async def test_a_commit_lands_whole(store: ShardStore) -> None:
    state = await opened(store)
    commit = outcome(state, next_due=state.head.slot + 5, skipped=(SkippedRange(1, 2, True),))
    committed = await store.commit(SHARD, state, commit)
    assert committed == Committed(None, state.head.version + 1, 0)

    after = await store.read(SHARD)
    assert after is not None
    assert after.head == store.after(state, commit, committed).head
    assert after.rows["seq"].tolist() == [0, 0, 9, 0]
    batch = await store.read_events(SHARD, state.head.version, 10)
    assert batch.entries == [(committed.version, 1, b"one"), (committed.version, 2, b"two")]
    assert batch.run_id == state.head.run_id


async def test_rows_come_from_memory_while_the_version_stands(store: ShardStore) -> None:
    state = await opened(store)
    again = await store.read(SHARD, state)
    assert again is not None
    assert again.rows is state.rows
    await store.commit(SHARD, state, outcome(state))
    moved = await store.read(SHARD, state)
    assert moved is not None
    assert moved.rows["seq"].tolist() == [0, 0, 9, 0]


async def refusals(store: ShardStore, redis: Redis, name: str) -> tuple[ShardState, Commit]:
    """A state and a commit that must be refused for one reason."""
    state = await opened(store)
    if name == "version":
        await store.commit(SHARD, state, outcome(state))
    elif name == "run_id":
        await command(redis, "HSET", keys.shard_head(SHARD), "run_id", "another")
    elif name == "slot":
        return state, outcome(state, slot=state.head.slot - 1)
    elif name == "future":
        return state, outcome(state, slot=await now_slot(redis) + 2)
    elif name == "inbox":
        pushed = await store.push(SHARD, b"stop")
        assert pushed is not None
        await store.commit(SHARD, await opened_state(store), outcome(state, slot=pushed.stamp - 1))
        fresh = await opened_state(store)
        unread = ShardState(fresh.head, fresh.rows, ())
        return unread, outcome(fresh, slot=pushed.stamp)
    elif name == "arguments":
        return state, outcome(state, applied=1)
    elif name == "no_head":
        await command(redis, "DEL", keys.shard_head(SHARD))
    return state, outcome(state)


async def opened_state(store: ShardStore) -> ShardState:
    state = await store.read(SHARD)
    assert state is not None
    return state


@pytest.mark.parametrize(
    "reason", ["version", "run_id", "slot", "future", "inbox", "arguments", "no_head"]
)
async def test_a_refused_commit_writes_nothing(
    store: ShardStore, redis: Redis, reason: str
) -> None:
    state, commit = await refusals(store, redis, reason)
    before = await dump(redis)
    committed = await store.commit(SHARD, state, commit)
    assert committed.refused == reason
    assert await dump(redis) == before


async def test_a_commit_pops_what_it_applied_and_no_more(store: ShardStore) -> None:
    await opened(store)
    for payload in (b"a", b"b", b"c"):
        await store.push(SHARD, payload)
    state = await opened_state(store)
    assert [entry.payload for entry in state.inbox] == [b"a", b"b", b"c"]
    assert [entry.number for entry in state.inbox] == [1, 2, 3]
    committed = await store.commit(SHARD, state, outcome(state, applied=2))
    assert committed.inbox_left == 1
    assert [entry.payload for entry in (await opened_state(store)).inbox] == [b"c"]


async def test_a_stamp_is_above_the_covered_slot_and_never_goes_back(
    store: ShardStore, redis: Redis
) -> None:
    state = await opened(store, slot_ago=0)
    covered = state.head.slot
    first, second = await store.push(SHARD, b"a"), await store.push(SHARD, b"b")
    assert first is not None and second is not None
    assert covered < first.stamp <= second.stamp <= max(covered + 1, await now_slot(redis))


async def test_without_a_head_nothing_is_pushed(store: ShardStore, redis: Redis) -> None:
    assert await store.push(SHARD, b"a") is None
    assert await command(redis, "EXISTS", keys.shard_inbox(SHARD)) == 0


async def test_pause_makes_a_tick_under_way_fail(store: ShardStore) -> None:
    state = await opened(store)
    await store.pause([SHARD])
    assert (await store.commit(SHARD, state, outcome(state))).refused == "version"
    paused = await opened_state(store)
    assert paused.head.paused
    await store.commit(SHARD, paused, outcome(paused, resumed=True))
    assert not (await opened_state(store)).head.paused


async def test_what_changes_rows_is_announced_in_the_same_step(
    store: ShardStore, redis: Redis
) -> None:
    async with redis.pubsub() as heard:
        await heard.subscribe(keys.ticked_channel())
        state = await opened(store)
        refused = replace(state, head=replace(state.head, version=state.head.version + 1))
        assert (await store.commit(SHARD, refused, outcome(state))).refused == "version"
        committed = await store.commit(SHARD, state, outcome(state))
        # What was published before is there before the answer to a ping.
        await heard.ping("after")
        messages: list[object] = []
        while "after" not in messages:
            message = await heard.get_message(ignore_subscribe_messages=True, timeout=5.0)
            if message is not None:
                ticked = message["type"] == "message"
                data = message["data"]
                messages.append(decode_ticked(data) if ticked else data.decode())
        slot = state.head.slot
        assert messages == [(SHARD, slot, 1), (SHARD, slot + 1, committed.version), "after"]


async def test_only_one_recovery_opens_a_shard(store: ShardStore) -> None:
    state = await opened(store)
    assert not await store.open(SHARD, state.head.run_id, None, state, [])
    assert not await store.open(SHARD, "another server", state.head, state, [])


async def test_what_recovery_puts_in_stands_before_what_waited(store: ShardStore) -> None:
    state = await opened(store)
    await store.push(SHARD, b"waiting")
    head = state.head
    assert await store.open(SHARD, head.run_id, head, state, [b"first", b"second"])
    inbox = (await opened_state(store)).inbox
    assert [entry.payload for entry in inbox] == [b"first", b"second", b"waiting"]
    assert inbox[0].stamp == head.slot + 1
    assert [e.stamp for e in inbox] == sorted(e.stamp for e in inbox)


async def test_a_batch_of_events_holds_whole_versions_only(store: ShardStore) -> None:
    state = await opened(store)
    start = state.head.version
    for _ in range(3):
        state = await opened_state(store)
        await store.commit(SHARD, state, outcome(state, events=[b"x"] * 4))
    batch = await store.read_events(SHARD, start, 6)
    assert [version for version, _, _ in batch.entries] == [start + 1] * 4
    assert len((await store.read_events(SHARD, start, 2)).entries) == 4
    await store.trim_events(SHARD, start + 2)
    left = await store.read_events(SHARD, start, 100)
    assert {version for version, _, _ in left.entries} == {start + 3}


def test_neighbors_are_one_range_and_many_changes_the_whole_table() -> None:
    rows = empty_rows(1000)
    ranges = changed_ranges(rows, np.array([3, 4, 5, 9]))
    assert [(offset // ROW.itemsize, len(data) // ROW.itemsize) for offset, data in ranges] == [
        (3, 3),
        (9, 1),
    ]
    many = changed_ranges(rows, np.arange(WHOLE_TABLE_ABOVE + 1) * 2)
    assert [(offset, len(data)) for offset, data in many] == [(0, rows.nbytes)]
    assert changed_ranges(rows, np.array([], np.intp)) == []


async def test_many_commands_of_one_caller_leave_room_for_those_of_others(
    store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await opened(store)
    monkeypatch.setattr("adapters.shard_store.INBOX_MAX", 40)
    monkeypatch.setattr("adapters.shard_store.INBOX_MAX_FOR_MANY", 30)
    many = [b"x" * 40] * 10
    for _ in range(3):
        await store.push_groups([(SHARD, many)])
    with pytest.raises(ShardFull):
        await store.push_groups([(SHARD, many)])
    for _ in range(10):
        assert await store.push(SHARD, b"one") is not None
    with pytest.raises(ShardFull):
        await store.push(SHARD, b"one")
    assert await command(store.redis, "LLEN", keys.shard_inbox(SHARD)) == 40

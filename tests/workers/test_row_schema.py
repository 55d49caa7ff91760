"""A shard that an older version may read, the switch to a newer schema, one that nobody knows."""

from typing import Any

import msgspec
import numpy as np
import pytest

from adapters import redis_keys as keys
from adapters.errors import SchemaUnknown
from adapters.redis_client import Redis
from adapters.redis_client import command as redis_command
from adapters.shard_records import Head, ShardState
from adapters.shard_store import ShardStore
from engine.commands import encode_command
from engine.events import Event, decode_event
from engine.rows import ROW, ROW_1, Rows, RowStatus, empty_rows
from engine.schemas import rows_from_bytes, rows_to_bytes
from tests.engine.builders import holding, tick
from tests.workers.shard_in_memory import NOW, Bench, command, running, state
from workers.row_schema import outcome_in
from workers.slots import SlotRun

SHARD = 3
TRAILING: dict[str, Any] = {"trailing_stop_bps": 100}


class OldCommand(msgspec.Struct, frozen=True, array_like=True):
    """What the version before reads of a command: the fields it knew, the rest is skipped."""

    agent_id: bytes
    row: int
    epoch: int
    wanted: int
    close_position: bool
    plan_id: int
    interval: int
    threshold: float
    max_position_usd: float
    stop_loss_ppm: int
    take_profit_ppm: int
    leverage: int
    fee_cbps: int
    slippage_cbps: int
    max_session_loss_usd: float
    asked_epoch: int = 0


@pytest.fixture
def bench() -> Bench:
    return Bench()


def events_of(run: SlotRun) -> list[Event]:
    return [decode_event(payload) for payload in run.events]


def test_a_shard_keeps_its_schema_where_the_setting_says_so(bench: Bench) -> None:
    bench.shards.schema = 1
    edit = encode_command(command(2))
    run = bench.run(state(NOW - 1, running(NOW - 3), (NOW, edit), schema=1))
    assert run is not None
    assert run.commit().schema is None
    assert [(each.kind, len(each.row_after)) for each in events_of(run)] == [
        ("edited", ROW_1.itemsize)
    ]


def test_the_first_commit_after_the_switch_writes_all_of_it_anew(bench: Bench) -> None:
    edit = encode_command(command(2, **TRAILING))
    run = bench.run(state(NOW - 1, running(NOW - 3), (NOW, edit), schema=1))
    assert run is not None
    assert run.commit().schema == 2
    assert [len(each.row_after) for each in events_of(run)] == [ROW.itemsize]
    assert run.rows[0]["trailing_stop_bps"] == 100


def test_a_shard_of_schema_2_stays_one_whatever_the_setting(bench: Bench) -> None:
    bench.shards.schema = 1
    edit = encode_command(command(2, **TRAILING))
    run = bench.run(state(NOW - 1, running(NOW - 3), (NOW, edit)))
    assert run is not None
    assert run.commit().schema is None
    assert run.rows[0]["trailing_stop_bps"] == 100


def test_a_command_that_the_schema_cannot_hold_waits_whole(bench: Bench) -> None:
    """Not half of it, and not lost: the epoch stays behind, so that it is pushed again."""
    bench.shards.schema = 1
    before = running(NOW - 3)
    edit = encode_command(command(2, interval=7, **TRAILING))
    run = bench.run(state(NOW - 1, before, (NOW, edit), schema=1))
    assert run is not None
    assert (run.applied, events_of(run), bench.buried) == (1, [], [])
    assert run.rows.tobytes() == before.tobytes()
    assert run.rows[0]["epoch"] == 1


def test_the_version_before_reads_what_it_can_hold_and_refuses_the_rest() -> None:
    plain = encode_command(command(asked_epoch=1))
    assert len(msgspec.msgpack.decode(plain)) == len(OldCommand.__struct_fields__)
    assert msgspec.msgpack.decode(plain, type=OldCommand).asked_epoch == 1
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(encode_command(command(**TRAILING)), type=OldCommand)


def test_it_makes_no_difference_whether_a_worker_remembers_the_rows() -> None:
    """Of a loss schema 1 keeps neither the pause after it nor Kelly's sums."""
    rows = rows_from_bytes(rows_to_bytes(holding(+1), 1), 1)
    outcome = tick(rows, 2_000_000, price=90.0)
    assert outcome.rows["losses"].tolist() == [1]
    kept = outcome_in(outcome, 1)
    assert kept.rows.tobytes() == rows_from_bytes(rows_to_bytes(outcome.rows, 1), 1).tobytes()
    assert [event.row_after for event in kept.events] == [rows_to_bytes(kept.rows, 1)]


async def laid(store: ShardStore, schema: int, rows: Rows) -> ShardState:
    now, run_id = int((await redis_command(store.redis, "TIME"))[0]), await store.run_id()
    head = Head(1, now - 5, None, schema, run_id, (), 0, paused=False)
    assert await store.open(SHARD, run_id, None, ShardState(head, rows, ()), [])
    state = await store.read(SHARD)
    assert state is not None
    return state


def _table_of(count: int) -> Rows:
    rows = empty_rows(count)
    rows["status"], rows["interval"], rows["leverage"] = RowStatus.RUNNING, 1, 1
    rows["seq"] = np.arange(count)
    return rows


async def test_a_table_of_either_schema_is_read_and_written(either_redis: Redis) -> None:
    store = ShardStore(either_redis)
    seen = await laid(store, 1, _table_of(5))
    assert seen.head.schema == 1
    assert seen.rows.tobytes() == _table_of(5).tobytes()
    table = await redis_command(either_redis, "GET", keys.shard_rows(SHARD))
    assert len(table) == 5 * ROW_1.itemsize

    rows = seen.rows.copy()
    rows["seq"][3] = 30
    kept = SlotRun(seen.head.slot + 1, rows, (), 0, (), np.arange(5) == 3, schema=1).commit()
    assert (await store.commit(SHARD, seen, kept)).refused is None
    found = await store.read_some(SHARD, [3, 4])
    assert found is not None and [found[1][row]["seq"] for row in (3, 4)] == [30, 4]

    seen = await _read(store)
    rows = seen.rows.copy()
    rows["trailing_stop_bps"][4] = 100
    switch = SlotRun(seen.head.slot + 1, rows, (), 0, (), np.zeros(5, np.bool_), 2, switched=True)
    committed = await store.commit(SHARD, seen, switch.commit())
    assert committed.refused is None
    after = await _read(store)
    assert after.head.schema == 2
    assert after.rows.tobytes() == rows.tobytes()
    assert store.after(seen, switch.commit(), committed).head == after.head


async def _read(store: ShardStore) -> ShardState:
    state = await store.read(SHARD)
    assert state is not None
    return state


async def test_readers_of_single_rows_notice_a_switch(either_redis: Redis) -> None:
    store, reader = ShardStore(either_redis), ShardStore(either_redis, 1)
    seen = await laid(store, 1, _table_of(5))
    for schema in (1, 2):
        found = await reader.read_some(SHARD, [0, 4, 7])
        assert found is not None
        assert (found[0].schema, sorted(found[1])) == (schema, [0, 4])
        assert found[1][4]["seq"] == 4
        if schema == 1:
            slot, none = seen.head.slot + 1, np.zeros(5, np.bool_)
            switch = SlotRun(slot, seen.rows, (), 0, (), none, 2, switched=True)
            assert (await store.commit(SHARD, seen, switch.commit())).refused is None


async def test_a_schema_of_the_future_is_left_alone(either_redis: Redis) -> None:
    store = ShardStore(either_redis)
    await laid(store, 2, _table_of(2))
    await redis_command(either_redis, "HSET", keys.shard_head(SHARD), "schema", 9)
    for reading in (store.read(SHARD), store.read_row(SHARD, 0)):
        with pytest.raises(SchemaUnknown, match="schema 9"):
            await reading

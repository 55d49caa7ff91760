"""What a worker remembers of shards: within its room, and only as long as it may be true."""

from adapters.shard_records import Head, ShardState
from engine.rows import ROW, empty_rows
from workers.context import KnownShards

ROWS = 8
TABLE_BYTES = ROWS * ROW.itemsize


def state(version: int = 1, rows: int = ROWS, paused: bool = False) -> ShardState:
    """A shard whose slot 100 is due next."""
    head = Head(version, 99, 100, 1, "run", (), 0, paused=paused)
    return ShardState(head, empty_rows(rows), ())


def test_a_due_shard_is_ticked_from_memory_unless_a_command_may_wait() -> None:
    known, sure, unsure = KnownShards(), state(), state()
    known.put(1, sure, sure=True)
    known.put(2, unsure)
    known.put(3, state(paused=True), sure=True)
    assert known.due(1, 100) is sure and known.due(1, 99) is None
    assert known.due(2, 100) is None and known.get(2) is unsure
    assert known.due(3, 100) is None
    known.doubt(1)
    assert known.due(1, 100) is None and known.get(1) is sure


def test_tables_beyond_the_room_are_not_kept_and_push_out_none() -> None:
    known = KnownShards(2 * TABLE_BYTES)
    for shard in range(4):
        known.put(shard, state(), sure=True)
    assert [known.get(shard) is not None for shard in range(4)] == [True, True, False, False]
    assert known.due(2, 100) is None
    known.forget(0)
    known.put(3, state(), sure=True)
    assert known.due(3, 100) is not None
    known.put(1, state(rows=2 * ROWS))  # it has grown, and its old place alone is too small
    assert known.get(1) is None and known.get(3) is not None
    known.clear()
    for shard in (7, 8):
        known.put(shard, state())
    assert known.get(7) is not None and known.get(8) is not None


def test_a_state_that_was_made_here_is_known_to_be_sound_though_it_is_not_kept() -> None:
    known = KnownShards(0)
    mine = state(version=7)
    known.put(1, mine)
    assert known.get(1) is None and known.made(1, mine.head)
    assert not known.made(1, state(version=8).head) and not known.made(2, mine.head)
    known.forget(1)
    assert not known.made(1, mine.head) and known.shards() == []

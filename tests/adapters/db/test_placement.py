"""Where agents are put: few shards at first, all partitions soon, none overfull."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.db.placement import (
    AGENTS_PER_EARLY_SHARD,
    OVERWEIGHT,
    ShardFill,
    choose_shard,
    shards_wanted,
)
from adapters.redis_keys import TICK_PARTITIONS
from engine.rows import ROWS_PER_SHARD


class Ground:
    """Shards that fill up as agents are placed."""

    def __init__(self, rows_per_shard: int = ROWS_PER_SHARD) -> None:
        self.rows = rows_per_shard
        self.places: list[tuple[str, int]] = []

    def place(self, symbol: str) -> int:
        taken = Counter(shard for _, shard in self.places)
        home = {shard for one, shard in self.places if one == symbol}
        fills = [
            ShardFill(shard, held, self.rows - held, shard in home) for shard, held in taken.items()
        ]
        shard = choose_shard(fills)
        self.places.append((symbol, shard))
        return shard


def test_the_first_agent_opens_the_first_shard() -> None:
    assert choose_shard([]) == 0


def test_few_shards_at_first_and_all_partitions_above_512_agents() -> None:
    assert [shards_wanted(n) for n in (1, 64, 65, 512, 513)] == [1, 1, 2, 8, 8]
    assert shards_wanted(TICK_PARTITIONS * ROWS_PER_SHARD + 1) == TICK_PARTITIONS + 1


def test_one_symbol_spreads_evenly_over_all_partitions() -> None:
    ground = Ground()
    for _ in range(3_000):
        ground.place("BTC/USDT")
    taken = Counter(shard for _, shard in ground.places)
    assert len(taken) == TICK_PARTITIONS
    assert max(taken.values()) <= OVERWEIGHT * 3_000 / TICK_PARTITIONS


def test_agents_of_a_symbol_stay_together() -> None:
    ground = Ground()
    symbols = [f"S{i}/USDT" for i in range(40)]
    for i in range(2_000):
        ground.place(symbols[i % len(symbols)])
    placed = Counter(ground.places)
    at_home = sum(max(placed[symbol, shard] for shard in range(8)) for symbol in symbols)
    assert at_home > 0.5 * 2_000  # by chance it would be an eighth and a little


def test_a_shard_without_room_is_left_alone_and_a_new_one_opened() -> None:
    full = [ShardFill(shard, ROWS_PER_SHARD, 0, has_symbol=True) for shard in range(9)]
    assert choose_shard(full) == 9
    frozen = [*full[:8], ShardFill(8, 10, 0, has_symbol=True), ShardFill(9, 20, 50, False)]
    assert choose_shard(frozen) == 9


@given(
    st.lists(st.sampled_from(["A", "B", "C", "D"]), min_size=1, max_size=400),
    st.integers(min_value=1, max_value=30),
)
@settings(max_examples=60, deadline=None)
def test_no_shard_is_ever_overfilled_and_numbers_have_no_gaps(
    symbols: list[str], rows: int
) -> None:
    ground = Ground(rows)
    for symbol in symbols:
        ground.place(symbol)
    taken = Counter(shard for _, shard in ground.places)
    assert max(taken.values()) <= rows
    assert sorted(taken) == list(range(len(taken)))
    assert len(taken) >= min(TICK_PARTITIONS, -(-len(symbols) // AGENTS_PER_EARLY_SHARD))

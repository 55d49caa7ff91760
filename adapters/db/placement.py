"""Which shard a new agent goes to. Pure: no database, no chance.

Few shards at first, since each costs a job a second; one for each tick partition as soon as
there is work to share; more only when they are full. Agents of a symbol stay together, because
a worker computes each plan of its shards once, as long as no shard gets much more than its share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters.redis_keys import TICK_PARTITIONS
from engine.rows import ROWS_PER_SHARD

AGENTS_PER_EARLY_SHARD: Final = 64
"""Agents for each of the first TICK_PARTITIONS shards before the next one is opened."""
OVERWEIGHT: Final = 1.25
"""A shard takes more of its own symbols until it has this many times its fair share."""


@dataclass(frozen=True, slots=True)
class ShardFill:
    """taken: rows that are held; room: rows it can still give; has_symbol: of the new agent."""

    shard: int
    taken: int
    room: int
    has_symbol: bool


def choose_shard(fills: Sequence[ShardFill]) -> int:
    """The shard of the next agent: one of these, or the number of a new one."""
    agents = sum(fill.taken for fill in fills) + 1
    with_room = [fill for fill in fills if fill.room > 0]
    if not with_room or len(fills) < shards_wanted(agents):
        return max((fill.shard for fill in fills), default=-1) + 1
    share = agents / len(fills)
    limit = max(AGENTS_PER_EARLY_SHARD, share * OVERWEIGHT)
    at_home = [fill for fill in with_room if fill.has_symbol and fill.taken < limit]
    return min(at_home or with_room, key=lambda fill: (fill.taken, fill.shard)).shard


def shards_wanted(agents: int) -> int:
    """How many shards so many agents should lie in, at least."""
    early = min(TICK_PARTITIONS, -(-agents // AGENTS_PER_EARLY_SHARD))
    return max(early, -(-agents // ROWS_PER_SHARD))


def pack(agents: int, shards: int, first_shard: int) -> list[tuple[int, int]]:
    """(shard, row) for so many agents in order, in shards of about the same size.

    There are more shards than asked for where these could not hold them, and never more than
    agents.
    """
    shards = max(min(shards, agents), -(-agents // ROWS_PER_SHARD), 1)
    each, more = divmod(agents, shards)
    sizes = [each + (number < more) for number in range(shards)]
    return [(first_shard + number, row) for number, size in enumerate(sizes) for row in range(size)]

"""Commands for many agents at once, by the same inboxes as those for one, grouped by shard.

PostgreSQL has given the epochs by then. If the hub dies on the way, the pool's chore pushes the
rest; whoever asks again pushes what is still on its way.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from uuid import UUID

from adapters.db import agent_edits
from adapters.db.agents import Agent, Wanted
from adapters.errors import ShardFull
from adapters.recovery import recover_shard
from adapters.redis_client import away_as_error
from adapters.shard_records import Pushed
from adapters.wanted import payload_of
from api.errors import away
from api.hub import Hub

GROUP_MAX = 250
"""Commands that are encoded before others run, and that one script call puts into an inbox."""


async def want_all(hub: Hub, user_id: UUID, wanted: Wanted, *, close_position: bool) -> int:
    """Wants every agent of the user running or stopped; answers how many it has told."""
    async with hub.turns.of(user_id):
        told = await agent_edits.want_all(hub.database, user_id, wanted, close_position)
        await send_commands(hub, told)
    return len(told)


async def send_commands(hub: Hub, told: Sequence[Agent]) -> int | None:
    """Puts the wanted state of agents into their shards' inboxes and wakes the shards.

    Answers the slot before which the last of them applies, None for no agents.

    Raises:
        Problem: 503 where Redis is away, or an inbox has no room.
    """
    try:
        async with away_as_error():
            await hub.directory.changed(told)
            groups: list[tuple[int, list[bytes]]] = []
            for shard, some in _groups(told):
                groups.append((shard, [payload_of(agent) for agent in some]))
                await asyncio.sleep(0)
            # All together, so that a shard applies them in one slot; then each is waked once.
            pushed = await _push(hub, groups)
            await hub.desk.wake(pushed)
    except ShardFull as error:
        raise away("a shard's inbox") from error
    return max((each.stamp for _, each in pushed), default=None)


def _groups(told: Sequence[Agent]) -> Iterator[tuple[int, Sequence[Agent]]]:
    by_shard: dict[int, list[Agent]] = defaultdict(list)
    for agent in told:
        by_shard[agent.shard].append(agent)
    for shard, there in by_shard.items():
        for begin in range(0, len(there), GROUP_MAX):
            yield shard, there[begin : begin + GROUP_MAX]


async def _push(
    hub: Hub, groups: Sequence[tuple[int, Sequence[bytes]]]
) -> list[tuple[int, Pushed]]:
    """A shard without a head is new, or its Redis was lost: it is recovered first."""
    pushed = await hub.shards.push_groups(groups) if groups else []
    lacking = [group for group, each in zip(groups, pushed, strict=True) if each is None]
    if lacking:
        for shard in {shard for shard, _ in lacking}:
            await recover_shard(hub.database, hub.shards, shard)
        pushed += await hub.shards.push_groups(lacking)
        if None in pushed[-len(lacking) :]:
            raise away("the shard")
    return [
        (shard, each)
        for (shard, _), each in zip([*groups, *lacking], pushed, strict=True)
        if each is not None
    ]

"""The frame of a slot, made at its beginning so that ticks find it; else a tick makes it."""

from typing import Any

from workers.context import PoolContext


async def make_frame(ctx: dict[str, Any], slot: int) -> None:
    """arq job: makes the frame of a slot; a slot that is over gets none, whoever asks."""
    pool: PoolContext = ctx["pool"]
    if pool.clock.slot() == slot:
        await pool.market.frame(slot)

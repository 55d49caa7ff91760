"""`python -m workers.upkeep`: what an operator does to shards, beside a pool at work.

`shards` lists them, `rebuild` lays them anew from the record, `thaw` opens a frozen one, `reshard`
gives all agents new places. Each can be interrupted and begun again.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence

from adapters import queue as jobs
from adapters.db import shards as shard_records
from adapters.db.connection import Database, close_database, open_database
from adapters.errors import AdapterError
from adapters.log import configure_logging
from adapters.queue import JobQueue
from adapters.recovery import recover_shard
from adapters.redis_client import AWAY, open_redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings, SettingsError, load_settings
from adapters.shard_store import ShardStore
from adapters.upkeep import rebuild_shard, reshard

AT_ONCE = 4
"""Shards that are rebuilt side by side."""


class Upkeep:
    """The connections of one command."""

    def __init__(
        self, database: Database, store: ShardStore, queue: JobQueue, clock: RedisClock
    ) -> None:
        self.database = database
        self.store = store
        self.queue = queue
        self.clock = clock

    async def known(self, asked: Sequence[int]) -> list[int]:
        """The shards asked for, all if none; AdapterError for one that the record does not know."""
        on_record = [each.shard for each in await shard_records.all_shards(self.database)]
        unknown = sorted(set(asked) - set(on_record))
        if unknown:
            raise AdapterError(f"there is no shard {', '.join(map(str, unknown))}")
        return list(asked) or on_record

    async def list_shards(self) -> None:
        """One line for each shard."""
        on_record = await shard_records.all_shards(self.database)
        numbers = [each.shard for each in on_record]
        waiting = await self.store.events_waiting(numbers)
        run_id = await self.store.run_id()
        print(f"{'shard':>6} {'slot':>11} {'stored to':>11} {'waiting':>8}  state")
        for each in on_record:
            head = await self.store.read_head(each.shard)
            state = "open"
            if each.frozen is not None:
                state = f"frozen: {each.frozen}"
            elif head is None or head.run_id != run_id:
                state = "waits for its recovery"
            elif head.paused:
                state = "paused"
            slot = 0 if head is None else head.slot
            print(f"{each.shard:>6} {slot:>11} {each.slot:>11} {waiting[each.shard]:>8}  {state}")

    async def rebuild(self, asked: Sequence[int], *, from_record: bool) -> None:
        """Recovers what needs it; with from_record everything, from PostgreSQL alone."""
        began = time.monotonic()
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(shard: int) -> bool:
            async with limit:
                if from_record:
                    await rebuild_shard(self.database, self.store, shard)
                    opened = True
                else:
                    opened = await recover_shard(self.database, self.store, shard)
                await self.queue.enqueue(jobs.catch_up(shard, self.clock.slot()))
                return opened

        numbers = await self.known(asked)
        opened = sum(await asyncio.gather(*map(one, numbers)))
        took_s = time.monotonic() - began
        print(f"{opened} of {len(numbers)} shards rebuilt in {took_s:.1f} s; the others were open")

    async def thaw(self, asked: Sequence[int]) -> None:
        """Opens frozen shards from the record; what contradicts it goes to quarantine."""
        for shard in await self.known(asked):
            left = await rebuild_shard(self.database, self.store, shard, thaw=True)
            await self.queue.enqueue(jobs.catch_up(shard, self.clock.slot()))
            print(f"shard {shard} goes on from the record; {left} events went to quarantine")

    async def reshard(self, wanted: int | None) -> None:
        """New places for all agents."""
        began = time.monotonic()
        done = await reshard(self.database, self.store, wanted)
        for shard in done.after:
            await self.queue.enqueue(jobs.catch_up(shard, self.clock.slot()))
        took_s = time.monotonic() - began
        print(
            f"{done.agents} agents moved from {len(done.before)} shards to {len(done.after)}"
            f" (from number {done.after[0]} on) in {took_s:.1f} s"
        )


async def _run(settings: Settings, options: argparse.Namespace) -> None:
    database = await open_database(settings.database_url)
    redis = open_redis(settings.redis_url)
    queue_redis = open_redis(settings.queue_redis_url)
    try:
        clock = RedisClock(redis)
        await clock.refresh()
        upkeep = Upkeep(database, ShardStore(redis), JobQueue(queue_redis), clock)
        if options.command == "shards":
            await upkeep.list_shards()
        elif options.command == "rebuild":
            await upkeep.rebuild(options.shard, from_record=options.from_record)
        elif options.command == "thaw":
            await upkeep.thaw(options.shard)
        else:
            await upkeep.reshard(options.shards)
    finally:
        await close_database(database)
        await redis.aclose()
        await queue_redis.aclose()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="artic", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("shards", help="where each shard stands")
    rebuild = commands.add_parser("rebuild", help="recover shards that Redis has lost")
    rebuild.add_argument("shard", type=int, nargs="*", help="all, if none is named")
    rebuild.add_argument(
        "--from-record", action="store_true", help="also those that are open: drop and rebuild them"
    )
    thaw = commands.add_parser("thaw", help="open a frozen shard; the record wins")
    thaw.add_argument("shard", type=int, nargs="+")
    places = commands.add_parser("reshard", help="give all agents new places")
    places.add_argument("--shards", type=_count, default=None, help="how many shards")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("at least one")
    return number


def main(argv: list[str] | None = None) -> int:
    """Returns the exit code; what a person can mend is one line on standard error."""
    options = _parser().parse_args(argv)
    needs = ("ARTIC_DATABASE_URL", "ARTIC_REDIS_URL")
    try:
        settings = load_settings(os.environ, needs=needs)
        configure_logging(settings)
        logging.getLogger().setLevel(logging.WARNING)
        asyncio.run(_run(settings, options))
    except (AdapterError, SettingsError, *AWAY) as error:
        print(f"artic {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

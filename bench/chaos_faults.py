"""What may happen to a pool, drawn from a seed: deaths, pauses, a Redis that loses its last second.

Nothing is asked for its consent: processes get SIGKILL, SIGSTOP or SIGCONT from outside, and the
append-only file is cut where it stood a second before.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from adapters import redis_keys as keys
from adapters.queue import partition_of
from adapters.redis_client import command
from bench.stack import Stack

CALM_S = (2.0, 8.0)
"""Between two faults."""
PAUSE_S = (0.5, 5.0)
DEAD_S = 0.5
"""How long Redis stays away."""
LOST_S = 1.0
_POLL_S = 0.2


@dataclass(slots=True)
class Kill:
    """A worker that was killed: when, and the shards it served then."""

    at: float
    shards: list[int]


@dataclass(slots=True)
class Chaos:
    """Faults one after another until `stop`; what was done is counted."""

    stack: Stack
    workers: int
    random: random.Random
    done: dict[str, int] = field(default_factory=dict)
    kills: list[Kill] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    """When Redis lost its last second, in Unix seconds."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _sizes: list[tuple[float, int]] = field(default_factory=list)

    async def run(self) -> None:
        """Does one thing after another."""
        faults: list[tuple[str, int, Callable[[], Awaitable[bool]]]] = [
            ("worker killed", 5, self._kill_worker),
            ("worker paused", 3, self._pause_worker),
            ("hub killed", 2, self._kill_hub),
            ("Redis killed", 1, self._kill_redis),
            ("Redis killed, its last second lost", 1, self._lose_a_second),
        ]
        weights = [weight for _, weight, _ in faults]
        watcher = asyncio.create_task(self._watch_file())
        try:
            while not await self._stops_within(self.random.uniform(*CALM_S)):
                name, _, fault = self.random.choices(faults, weights)[0]
                if await fault():
                    self.done[name] = self.done.get(name, 0) + 1
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return False
        return True

    def _worker(self) -> tuple[str, int] | None:
        part = f"worker-{self.random.randint(1, self.workers)}"
        pid = self.stack.pid_of(part)
        return None if pid is None else (part, pid)

    async def _kill_worker(self) -> bool:
        found = self._worker()
        if found is None:
            return False
        shards = await self._served_by(found[1])
        os.kill(found[1], signal.SIGKILL)
        self.kills.append(Kill(time.time(), shards))
        return True

    async def _served_by(self, pid: int) -> list[int]:
        owners = [
            (await command(self.stack.redis, "GET", keys.partition_lease(p)) or b"").decode()
            for p in range(keys.TICK_PARTITIONS)
        ]
        shards = await self.stack.shards.open_shards()
        return [shard for shard in shards if owners[partition_of(shard)].endswith(f"-{pid}")]

    async def _pause_worker(self) -> bool:
        found = self._worker()
        if found is None:
            return False
        os.kill(found[1], signal.SIGSTOP)
        await asyncio.sleep(self.random.uniform(*PAUSE_S))
        if self.stack.pid_of(found[0]) == found[1]:
            os.kill(found[1], signal.SIGCONT)
        return True

    async def _kill_hub(self) -> bool:
        pid = self.stack.pid_of("hub")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        return pid is not None

    async def _kill_redis(self, lost_s: float = 0.0) -> bool:
        server = self.stack.redis_server
        assert server.pid is not None
        at = time.monotonic()
        os.kill(server.pid, signal.SIGKILL)
        while not server.has_died():
            await asyncio.sleep(0)
        if lost_s:
            kept = [size for seen_at, size in self._sizes if seen_at <= at - lost_s]
            if kept and kept[-1] < self._file.stat().st_size:
                os.truncate(self._file, kept[-1])
                self.losses.append(time.time())
        self._sizes.clear()
        await asyncio.sleep(DEAD_S)
        await server.start()
        return True

    async def _lose_a_second(self) -> bool:
        return await self._kill_redis(LOST_S)

    @property
    def _file(self) -> Path:
        return self.stack.redis_server.data_dir / "redis" / "appendonly.aof"

    async def _watch_file(self) -> None:
        """Notes how long the file was when. A rewrite makes it shorter: begin anew."""
        while True:
            size = self._file.stat().st_size if self._file.exists() else 0
            if self._sizes and size < self._sizes[-1][1]:
                self._sizes.clear()
            self._sizes.append((time.monotonic(), size))
            del self._sizes[:-50]
            await asyncio.sleep(_POLL_S)

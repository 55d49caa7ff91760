"""A whole fleet in this process: Redis in memory, the real PostgreSQL, worker processes and a hub.

Everything that is shipped runs as it is, from the arq workers to the Lua scripts; only clocks,
connections and the loop are the simulation's. A process that ends is started again, as a supervisor
does.
"""

import asyncio
import hashlib
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import fields
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from arq.connections import ArqRedis

from adapters.broadcasts import Broadcasts
from adapters.market_store import MarketStore
from adapters.queue import JobQueue, decode_job, encode_job
from adapters.redis_client import AWAY, Redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings
from adapters.shard_store import ShardStore
from adapters.tokens import AccessTokens
from api.api_keys import ApiKeys
from api.clock import HubClock
from api.command_desk import CommandDesk
from api.directory import AgentDirectory
from api.hub import Hub
from api.known_plans import KnownPlans
from api.live import LiveFeed
from api.logins import Logins
from api.request_limit import RequestLimit
from api.sights import Sights
from api.turns import Turns
from engine.rows import ROW_SCHEMA
from tests.servers.memory_redis import MemoryRedis
from tests.servers.redis_values import Keyspace
from tests.servers.redis_wire import memory_client, memory_pool
from tests.simulation.postgres import Pool
from tests.simulation.prices import SYMBOLS, SwingingPrices
from tests.simulation.real_side import RealSide
from tests.simulation.schedule import WORKERS
from tests.simulation.virtual_loop import (
    Process,
    VirtualLoop,
    context_of,
    pass_time,
    present_process,
)
from tests.simulation.wire import RedisLink, Wire
from workers.anchors import AnchorKeeper
from workers.context import PoolContext
from workers.plan_book import PlanBook
from workers.process import WorkerProcess
from workers.settings import QUEUES

RESTART_S = 0.7
STOP_S = 5.0
"""How long a supervisor waits for workers that were told to stop."""
ARRIVED = 0.6
"""How often a client can still read what a Redis has answered just before it ended."""
OWNER = UUID(int=0xA11CE)
SETTINGS = cast(
    Settings,
    SimpleNamespace(
        row_schema=ROW_SCHEMA, plans_per_user=1_000, sockets_per_user=0, agents_per_user=0
    ),
)
"""What is asked of the settings by what runs here."""
_START = 1_800_000_000

log = logging.getLogger(__name__)


class Life:
    """One place of a process: whoever runs there now, and that somebody runs there again."""

    def __init__(
        self, fleet: "Fleet", name: str, main: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._fleet = fleet
        self._name = name
        self._main = main
        self.lives = 0
        self.process = Process(name)
        self.start()

    def start(self) -> None:
        """Starts a new process in this place."""
        self.lives += 1
        self.process = Process(f"{self._name}.{self.lives}")
        self._fleet.loop.create_task(self._run(), context=context_of(self.process))

    async def _run(self) -> None:
        try:
            await self._main()
        except Exception as error:
            # As a process that ends with a traceback; its supervisor starts the next one.
            log.info("%s has ended: %r", self.process, error)
            self._fleet.said.append(f"{self.process} has ended: {error!r}")
        self._fleet.wire.kill(self.process)

    def look(self) -> None:
        """Starts the place's next process if there is none."""
        if not self.process.alive:
            self.start()


class Fleet:
    """Servers, processes and the loop they run on, made anew for each run."""

    def __init__(self, seed: int, side: RealSide) -> None:
        self.loop = VirtualLoop(_START + seed % 997 * 13 + 0.25)
        self.began = self.loop.now
        self.wire = Wire(self.loop, random.Random(f"delays:{seed}"))
        self.rng = random.Random(f"fleet:{seed}")
        self.side = side
        self.source = SwingingPrices(seed)
        self.redis = MemoryRedis(lambda: self.loop.now, self._new_run_id())
        self.link = RedisLink(self.wire, self.redis)
        self.link.names = script_names()
        self.pool = Pool(side, self.wire)
        self.row_schema = ROW_SCHEMA
        self.said: list[str] = []
        self.watched = False
        """Somebody will watch, so the hub follows what happens. It costs half as much again."""
        self.hub: Hub | None = None
        self.lives: list[Life] = []
        self.serving: dict[Process, WorkerProcess] = {}
        self._stopped = 0
        self.hurry = False
        """The storm is over: an orderly stop ends at once."""
        self.kept = Keyspace(self.redis.now)
        self._lay_record()

    def _lay_record(self) -> None:
        """An owner, and a shard for each symbol, so that few agents make several shards."""
        self.side.empty()
        self.side.ask(
            "INSERT INTO users (id, email, password_hash, role)"
            " VALUES ($1, 'owner@example.com', '-', 'operator')",
            OWNER,
        )
        for shard, symbol in enumerate(SYMBOLS):
            self.side.ask("INSERT INTO shards (id, symbol) VALUES ($1, $2)", shard, symbol)

    def start(self) -> None:
        """Starts every process."""
        self.lives = [Life(self, f"worker {n}", self._work) for n in range(WORKERS)]
        self.lives.append(Life(self, "hub", self._serve))
        self._supervisor = self.loop.create_task(self._supervise())

    @property
    def hub_life(self) -> Life:
        return self.lives[-1]

    def worker_life(self, who: int) -> Life:
        return self.lives[who % WORKERS]

    async def _supervise(self) -> None:
        while True:
            await pass_time(RESTART_S)
            for life in self.lives:
                if not self._stopped or life is self.hub_life:
                    life.look()

    def open_redis(self) -> Redis:
        """A client for the present process."""
        return memory_client(self.link)

    async def _open_arq(self) -> ArqRedis:
        return ArqRedis(
            memory_pool(self.link), job_serializer=encode_job, job_deserializer=decode_job
        )

    def _clock(self, redis: Redis) -> RedisClock:
        process = present_process()

        def monotonic() -> float:
            return self.loop.now + process.slept_s

        return RedisClock(
            redis, monotonic=monotonic, wall=lambda: monotonic() + process.clock_ahead_s
        )

    async def _work(self) -> None:
        """What workers/__main__ does."""
        pool = self.pool_context(present_process().name)
        await pool.clock.refresh()
        process = self.serving[present_process()] = WorkerProcess(pool, QUEUES)
        try:
            await process.run()
        finally:
            del self.serving[present_process()]

    def pool_context(self, name: str) -> PoolContext:
        """Everything one worker process needs."""
        state_redis, queue_redis = self.open_redis(), self.open_redis()
        database = self.pool.database()
        anchors = AnchorKeeper(database)
        market = MarketStore(
            state_redis, self.source, on_anchor=anchors.save, anchor_of_record=anchors.load
        )
        return PoolContext(
            name=name,
            settings=SETTINGS,
            state_redis=state_redis,
            queue_redis=queue_redis,
            clock=self._clock(state_redis),
            shards=ShardStore(state_redis, self.row_schema),
            market=market,
            plans=PlanBook(state_redis, market),
            queue=JobQueue(queue_redis),
            database=database,
            open_arq=self._open_arq,
        )

    async def _serve(self) -> None:
        """What api/app.open_hub does, for what a command and a watcher need."""
        redis, database = self.open_redis(), self.pool.database()
        clock, shards = HubClock(self._clock(redis)), ShardStore(redis, self.row_schema)
        sights = Sights(MarketStore(redis, self.source), clock)
        broadcasts = Broadcasts(redis)
        directory = AgentDirectory(database, redis, broadcasts)
        live = LiveFeed(broadcasts, shards, sights, database, directory)
        logins = Logins(broadcasts, redis, database, ApiKeys(database, broadcasts))
        await clock.measure()
        parts: dict[str, Any] = {
            "settings": SETTINGS,
            "database": database,
            "state_redis": redis,
            "shards": shards,
            "plans": KnownPlans(),
            "desk": CommandDesk(database, redis, shards, directory, JobQueue(self.open_redis())),
            "directory": directory,
            "clock": clock,
            "prices": SimpleNamespace(symbols=SYMBOLS, live=None, has_room=lambda symbol: True),
            "sights": sights,
            "live": live,
            "turns": Turns(),
            "logins": logins,
            "requests": RequestLimit(0),
            "tokens": AccessTokens(["simulated " * 4]),
        }
        # what nobody asks for here is not there
        rest: dict[str, Any] = {each.name: None for each in fields(Hub) if each.name not in parts}
        self.hub = Hub(**parts, **rest)
        if self.watched:
            await asyncio.gather(clock.keep(), broadcasts.run(), live.run())
        await clock.keep()

    def crash_redis(self, kept: Keyspace, down_s: float) -> None:
        """Ends Redis; it comes up again with what was kept, as another run."""
        self.redis.crash(lambda: self.rng.random() < ARRIVED)
        self.kept = kept
        self.loop.call_later(down_s, self.bring_up_redis)

    def bring_up_redis(self) -> None:
        """Starts Redis if it is down."""
        if not self.redis.up:
            self.redis.start(self._new_run_id(), self.kept)

    def stop_in_order(self, for_s: float) -> None:
        """As `artic up` ends: the workers stop, then the shards are paused; later all goes on."""
        self._stopped += 1
        self.loop.create_task(self._stop_and_pause(for_s))

    async def _stop_and_pause(self, for_s: float) -> None:
        for process in self.serving.values():
            process.stopping.set()
        await self._wait(STOP_S, lambda: any(each.alive for each in self.serving))
        for life in self.lives[:WORKERS]:
            self.wire.kill(life.process)
        try:
            store = ShardStore(self.open_redis())
            await store.pause(await store.open_shards())
        except AWAY as error:
            self.said.append(f"not paused: {error!r}")
        await self._wait(for_s, lambda: True)
        self._stopped -= 1

    async def _wait(self, seconds: float, as_long_as: Callable[[], bool]) -> None:
        until = self.loop.now + seconds
        while self.loop.now < until and as_long_as() and not self.hurry:
            await pass_time(0.05)

    def _new_run_id(self) -> str:
        return f"{self.rng.getrandbits(152):038x}fe"

    def seconds(self) -> float:
        """Since the start of the run."""
        return self.loop.now - self.began

    def kill_all(self) -> None:
        """Every process dies, and none is started again."""
        self._supervisor.cancel()
        for life in self.lives:
            self.wire.kill(life.process)

    def end(self) -> None:
        """Ends every task in an orderly way, in a world that answers nothing any more."""
        self.wire.over = True
        self.loop.cancel_all()
        self.loop.close()
        self.pool.drop_all()


def script_names() -> dict[bytes, str]:
    """The name of each shipped script by the SHA-1 of its text."""
    return {
        hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest().encode(): path.name[:-4]
        for path in (files("adapters") / "scripts").iterdir()
        if path.name.endswith(".lua")
    }

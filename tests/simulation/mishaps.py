"""What goes wrong in a fleet: the faults of a schedule, done to servers, queues and processes."""

import asyncio
import random
from collections.abc import Callable

import numpy as np

from adapters import redis_keys as keys
from adapters.queue import phase_s
from engine.rows import RowStatus
from engine.schemas import rows_from_bytes, rows_to_bytes
from tests.servers.redis_values import Hash, Keyspace, Scores
from tests.simulation.fleet import Fleet
from tests.simulation.schedule import EARLY_S, WORKERS, Step
from tests.simulation.users import Users
from tests.simulation.virtual_loop import context_of, pass_time
from tests.simulation.wire import Ambush
from tests.simulation.witness import SHARDS, Witness
from workers.context import PoolContext
from workers.tick_job import tick_shard

HOUR_S = 3600.0
TICK_TIMEOUT_S = 2.0

_GARBAGE = (b"", b"\xff\x00garbage", b"\x93\x01\x02\x03", b"\xc0", b"x" * 500)
_BROKEN_FIELDS = (
    ("entry_price", float("nan")), ("quantity", float("nan")), ("max_position_usd", float("nan")),
    ("max_position_usd", 1e300), ("threshold", float("nan")), ("interval", 0), ("status", 77),
    ("side", 5), ("leverage", 0), ("stop_loss_price", float("inf")), ("plan_id", 2**32 - 1),
    ("realized_pnl_usd", float("nan")),
)  # fmt: skip


class Mishaps:
    """Does the faults of one run, and ends them all."""

    def __init__(self, fleet: Fleet, users: Users, witness: Witness, seed: int) -> None:
        self._fleet = fleet
        self._users = users
        self._witness = witness
        self._seed = seed
        self._kept: dict[Step, Keyspace] = {}
        self._down: list[Callable[[], None]] = []

    def schedule(self, step: Step) -> None:
        """Does a step when its time comes."""
        fleet = self._fleet
        if step.kind == "redis_loss":
            fleet.loop.call_at(fleet.began + step.at - step.loss_s, self._keep, step)
        fleet.loop.call_at(fleet.began + step.at, self._do, step)

    def _keep(self, step: Step) -> None:
        fleet = self._fleet
        self._kept[step] = fleet.redis.keys.snapshot() if fleet.redis.up else fleet.kept

    def _do(self, step: Step) -> None:
        if not step.is_fault and step.kind not in {"again", "old"}:
            self._users.act(step)
            return
        match step.kind:
            case "kill" | "pause" | "cut":
                ambush = Ambush(step.kind, step.moment, step.on, step.skip, step.seconds)
                ambush.until, ambush.then_s = step.until, step.then_s
                self._fleet.wire.lay(self._fleet.worker_life(step.who).process, ambush)
            case "kill_hub":
                hub = self._fleet.hub_life.process
                self._fleet.wire.lay(hub, Ambush("kill", step.moment, step.on, step.skip))
            case "redis_crash" | "redis_loss" | "redis_lost":
                self._crash(step)
            case "postgres_away":
                self._fleet.pool.away = True
                self._fleet.pool.drop_all()
                self._fleet.loop.call_later(step.seconds, self._postgres_back)
            case "all_paused":
                for life in self._fleet.lives[:WORKERS]:
                    if life.process.alive and not life.process.paused:
                        self._fleet.wire.pause(life.process, step.seconds)
            case "slow_network":
                self._fleet.wire.slow_until = self._fleet.loop.now + step.seconds
            case "postgres_dropped":
                self._fleet.pool.drop_all()
            case "clock_ahead":
                process = self._fleet.worker_life(step.who).process
                process.clock_ahead_s += HOUR_S
                if step.who % 2:
                    process.slept_s += HOUR_S
                self._fleet.loop.call_later(step.seconds, self._clock_right, process)
            case _:
                self._do_to_keys(step)

    def _do_to_keys(self, step: Step) -> None:
        rng = random.Random(f"mishap:{self._seed}:{step}")
        match step.kind:
            case "job_lost" | "job_twice" | "job_late":
                self._job(step, rng)
            case "lease_lost":
                self._fleet.redis.keys.drop(keys.partition_lease(step.who % SHARDS).encode())
            case "again" | "old":
                pushed = self._witness.pushed.get(step.who % SHARDS, [])
                if pushed:
                    payload = pushed[-1] if step.kind == "again" else rng.choice(pushed)
                    self._push(step.who % SHARDS, payload)
            case "poison_command":
                self._push(step.who % SHARDS, rng.choice(_GARBAGE))
            case "poison_row":
                self._break_row(step.who % SHARDS, rng)
            case "poison_plan":
                self._break_plan(rng)
            case "orderly_stop":
                self._fleet.stop_in_order(step.seconds)
            case "two_owners":
                self._two_owners(step, rng)

    def _two_owners(self, step: Step, rng: random.Random) -> None:
        """Every worker ticks a shard in every slot, at about the same time."""
        for process, serving in list(self._fleet.serving.items()):
            work = self._serve_too(serving.pool, step.who % SHARDS, step.seconds, rng.random())
            self._fleet.loop.create_task(work, context=context_of(process))

    async def _serve_too(self, pool: PoolContext, shard: int, seconds: float, draw: float) -> None:
        """As a worker that believes in a lease which it has lost."""
        early_s, until = EARLY_S * draw, pool.clock.now() + seconds
        while pool.clock.now() < until:
            slot = int(pool.clock.now()) + 1
            await pass_time(slot + phase_s(shard) - early_s - pool.clock.now())
            try:
                async with asyncio.timeout(TICK_TIMEOUT_S):
                    await tick_shard({"pool": pool}, shard, slot)
            except Exception as error:
                # as arq does with a job that fails
                self._fleet.said.append(f"a tick of {pool.name} has failed: {error!r}")

    def _double(self, queue: bytes, job: bytes) -> None:
        """The same call once more, under another id."""
        db = self._fleet.redis.keys
        content = db.string(b"arq:job:" + job)
        if content is not None:
            db.values[b"arq:job:" + job + b":again"] = content
            db.write(Scores, queue)[job + b":again"] = db.read(Scores, queue)[job]

    def _crash(self, step: Step) -> None:
        if not self._fleet.redis.up:
            return
        kept = self._kept.pop(step, None)
        if step.kind == "redis_crash":
            kept = self._fleet.redis.keys.snapshot()
        kept = kept or Keyspace(self._fleet.redis.now)
        self._witness.crashed(kept)
        self._fleet.crash_redis(kept, step.seconds)

    def _postgres_back(self) -> None:
        self._fleet.pool.away = False

    def _clock_right(self, process: object) -> None:
        for life in self._fleet.lives:
            if life.process is process:
                life.process.clock_ahead_s = 0.0

    def _job(self, step: Step, rng: random.Random) -> None:
        """A job that waits is lost, put off, or there once more under another id."""
        db = self._fleet.redis.keys
        queues = [key for key, value in db.values.items() if isinstance(value, Scores)]
        waiting = [(q, job) for q in queues if b":queue:" in q for job in db.read(Scores, q)]
        if not waiting:
            return
        queue, job = rng.choice(waiting)
        score, name = db.read(Scores, queue)[job], b"arq:job:" + job
        if step.kind == "job_lost":
            db.write(Scores, queue).pop(job)
            db.tidy(queue)
            db.drop(name)
        elif step.kind == "job_late":
            db.write(Scores, queue)[job] = score + round(step.seconds * 1000)
        else:
            self._double(queue, job)

    def _push(self, shard: int, payload: bytes) -> None:
        hub = self._fleet.hub
        if hub is not None:
            context = context_of(self._fleet.hub_life.process)
            work = self._users.tolerate(lambda: hub.shards.push(shard, payload))
            self._fleet.loop.create_task(work, context=context)

    def _break_row(self, shard: int, rng: random.Random) -> None:
        """Bits of one record are turned over, in Redis alone."""
        db, key = self._fleet.redis.keys, keys.shard_rows(shard).encode()
        rows = np.array(rows_from_bytes(db.string(key) or b"", self._fleet.row_schema))
        taken = np.flatnonzero(rows["status"] != RowStatus.FREE)
        if not taken.size:
            return
        row = int(rng.choice(taken.tolist()))
        name, value = rng.choice(_BROKEN_FIELDS)
        rows[row][name] = value
        self._witness.poisoned.add(rows[row]["agent_id"].tobytes())
        db.values[key] = rows_to_bytes(rows, self._fleet.row_schema)

    def _break_plan(self, rng: random.Random) -> None:
        """A plan in Redis names a strategy that nobody knows."""
        plans = self._fleet.redis.keys.write(Hash, keys.plans().encode())
        if plans:
            plan_id = rng.choice(sorted(plans))
            plans[plan_id] = plans[plan_id].replace(b"simple_momentum", b"no_such_strategy")

    def end(self) -> None:
        """The storm is over: everything is there again, and nothing waits for anybody."""
        fleet = self._fleet
        fleet.wire.lift_all()
        fleet.wire.slow_until = 0.0
        fleet.hurry = True
        fleet.pool.away = False
        if not fleet.redis.up:
            fleet.bring_up_redis()
        for life in fleet.lives:
            life.process.clock_ahead_s = 0.0
            if life.process.paused:
                fleet.loop.resume(life.process)

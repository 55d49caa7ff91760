"""One run of the simulation: a schedule on a fleet, looked at while it runs and when it is over."""

import gc
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from unittest import mock

from adapters import redis_keys as keys
from adapters.redis_client import command
from api.live import CHECK_EVERY_S
from tests.simulation.checks import check_alive, check_record
from tests.simulation.fleet import Fleet
from tests.simulation.mishaps import Mishaps
from tests.simulation.real_side import RealSide
from tests.simulation.schedule import CALM_S, QUIET_S, Schedule, shrink
from tests.simulation.users import Users
from tests.simulation.virtual_loop import Stalled, pass_time
from tests.simulation.witness import SHARDS, Violation, Witness
from workers.ledger_job import store_events

DRAINS_MAX = 20
LOOK_S = 0.5
CAUGHT_UP_S = CHECK_EVERY_S + 5
"""A hub that has missed a message asks the record after so long, if nothing else comes."""

Plant = Callable[[Fleet], AbstractContextManager[None]]
"""Changes a fleet, or the code that it runs, for as long as a run lasts: a planted fault."""


@dataclass
class Outcome:
    """What a run has come to. violation: what was broken, '' for nothing."""

    schedule: Schedule
    violation: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    fingerprint: tuple[int, float] = (0, 0.0)
    """Steps of the loop, and where its clock stood: the same for the same run."""

    def __str__(self) -> str:
        return f"seed {self.schedule.seed}: {self.violation}\n{self.schedule}"


def run(schedule: Schedule, side: RealSide, plant: Plant | None = None) -> Outcome:
    """Runs a schedule."""
    with _without_collections(), _same_each_time(schedule.seed):
        fleet = Fleet(schedule.seed, side)
        outcome = Outcome(schedule)
        try:
            with nullcontext() if plant is None else plant(fleet):
                fleet.loop.run_until_complete(_run(fleet, schedule, outcome))
        except Violation as violation:
            outcome.violation = str(violation)
        except Stalled as stalled:
            outcome.violation = f"nothing moves any more {stalled}"
        finally:
            outcome.fingerprint = fleet.loop.steps, fleet.loop.now
            fleet.end()
        outcome.said = [*fleet.said, *fleet.wire.sprung]
        return outcome


def shrunk(outcome: Outcome, side: RealSide, plant: Plant | None = None) -> Outcome:
    """The same failure, or another one, with as few steps as it takes."""
    fewest = outcome

    def fails(schedule: Schedule) -> bool:
        nonlocal fewest
        tried = run(schedule, side, plant)
        if tried.violation:
            fewest = tried
        return bool(tried.violation)

    shrink(outcome.schedule, fails)
    return fewest


async def _run(fleet: Fleet, schedule: Schedule, outcome: Outcome) -> None:
    witness = Witness(fleet.redis, fleet.side, fleet.link.names)
    witness.on_violation = fleet.loop.fail
    fleet.redis.witness = witness
    users = Users(fleet, schedule.seed)
    mishaps = Mishaps(fleet, users, witness, schedule.seed)
    fleet.watched = any(step.kind == "watch" for step in schedule.steps)
    fleet.start()
    for step in schedule.steps:
        mishaps.schedule(step)
    await pass_time(CALM_S + schedule.storm_s)
    mishaps.end()
    await _recover(fleet, witness)
    await _catch_up(fleet, users)
    fleet.wire.calm = True
    fleet.kill_all()
    await _drain(fleet)
    fills = await check_record(fleet, witness, users.promises)
    for client in users.clients.values():
        client.check()
    outcome.counts = users.acts | {
        "watched": sum(len(client.seen) for client in users.clients.values()),
        "fills": fills,
        "commits": sum(len(each.commits) for each in witness.shards.values()),
        "recoveries": sum(each.recoveries for each in witness.shards.values()),
        "mishaps": len(fleet.wire.sprung),
        **{f"refused: {word}": count for word, count in witness.refusals.items()},
    }


async def _recover(fleet: Fleet, witness: Witness) -> None:
    """Waits until everything is as it should be, which must not take long."""
    since = int(fleet.loop.now)
    while True:
        await pass_time(LOOK_S)
        try:
            return await check_alive(fleet, witness, since)
        except Violation:
            if fleet.loop.now > since + QUIET_S:
                raise


async def _catch_up(fleet: Fleet, users: Users) -> None:
    """Waits until whoever watches has seen everything at one moment."""
    until = fleet.loop.now + CAUGHT_UP_S
    while behind := [client for client in users.clients.values() if client.behind]:
        if fleet.loop.now > until:
            raise Violation(f"a client has seen {behind[0].last} messages, and no more comes")
        await pass_time(LOOK_S / 5)


async def _drain(fleet: Fleet) -> None:
    """The ledger's own job until the streams are empty."""
    pool = fleet.pool_context("drain")
    await pool.clock.refresh()
    for _ in range(DRAINS_MAX):
        waiting = await pool.shards.events_waiting(range(SHARDS))
        if not any(waiting.values()):
            return
        await command(pool.queue_redis, "SADD", keys.dirty_shards(), *waiting)
        await store_events({"pool": pool})
    raise Violation(f"events wait for the ledger for ever: {waiting}")


@contextmanager
def _without_collections() -> Iterator[None]:
    """What a run leaves behind is collected after it, and what was there before is not looked at
    over and over again: a tenth of the time of a run.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect(0)


@contextmanager
def _same_each_time(seed: int) -> Iterator[None]:
    """Ids that are drawn from the system's randomness are drawn from the seed."""
    rng = random.Random(f"urandom:{seed}")
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with mock.patch("os.urandom", rng.randbytes):
            yield
    finally:
        logging.disable(level)

"""What happens to a fleet and when: drawn from a seed, a plain list that can be printed and cut.

Times are seconds from the start of the run. A step that meets nothing to act on does nothing.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from adapters.queue import phase_s

CALM_S = 1.0
"""Before the first fault."""
STORMS_S = (1.5, 1.5, 2.0, 2.0, 2.5, 3.0, 4.0, 8.0)
"""How long users act and faults happen. Mostly short: what one storm finds in eight seconds, four
of two seconds find too; a few are long, for what builds up."""
QUIET_S = 8.0
"""How long it may take at most until everything has recovered."""

TOGETHER_S = 5.0
"""How long two serve one partition where that is a story of its own."""
HALF_READ = 1
"""The shard that ticks latest in its slot, so that much of the next one is left before it."""
EARLY_S = 0.05
"""A second owner ticks so much before the first one at most."""

AGENTS = 10
WORKERS = 2

UserAct = Literal["create", "stop", "keep", "start", "edit", "delete", "kill_all", "again", "old",
    "watch", "hang_up",
]  # fmt: skip
FaultKind = Literal[
    "kill", "pause", "cut", "kill_hub", "redis_crash", "redis_loss", "redis_lost", "postgres_away",
    "postgres_dropped", "job_lost", "job_twice", "job_late", "lease_lost", "clock_ahead",
    "poison_command", "poison_row", "poison_plan", "orderly_stop", "two_owners", "slow_network",
    "all_paused",
]  # fmt: skip
Moment = Literal["before", "amid", "after"]
FAULTS: tuple[FaultKind, ...] = get_args(FaultKind)

EXCHANGES = (
    "", "", "commit", "commit", "frame", "readings", "HGETALL", "enqueue", "leases", "claim",
    "open_shard", "push_command", "read_events", "XTRIM", "sql", "COMMIT", "COMMIT", "COPY",
    "UPDATE", "SPOP",
)  # fmt: skip
"""Where ambushes wait, some more often than others."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done: by a user, or to the fleet."""

    at: float
    kind: UserAct | FaultKind
    who: int = 0  # an agent, a worker or a shard
    seconds: float = 0.0
    skip: int = 0
    on: str = ""
    moment: Moment = "before"
    """Before the exchange reaches its server, amid what is sent together, or after, without its
    answer."""
    loss_s: float = 0.0  # what a Redis forgets when it crashes
    until: str = ""
    """A pause ends when another process has had an exchange with this, `then_s` later."""
    then_s: float = 0.0

    @property
    def is_fault(self) -> bool:
        return self.kind in FAULTS

    def __str__(self) -> str:
        words = [f"{self.at:6.2f} s  {self.kind} {self.who}"]
        words += [f"for {self.seconds:.2f} s"] if self.seconds else []
        words += [f"forgetting {self.loss_s:.2f} s"] if self.loss_s else []
        words += [f"until {self.until} and {self.then_s:.2f} s"] if self.until else []
        if self.on or self.skip:
            words.append(f"{self.moment} exchange {self.skip + 1} with {self.on or 'any server'}")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A seed and all that it decides. The seed alone also decides prices and delays."""

    seed: int
    steps: tuple[Step, ...]
    storm_s: float = max(STORMS_S)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def draw(seed: int, only: Sequence[FaultKind] | None = None) -> Schedule:
    """The schedule of a seed; only: with faults of these kinds alone."""
    rng = random.Random(f"schedule:{seed}")
    storm_s = rng.choice(STORMS_S)
    steps = [*_users(rng, storm_s), *_faults(rng, storm_s, only or FAULTS)]
    if any(step.kind == "two_owners" and step.seconds == TOGETHER_S for step in steps):
        storm_s = max(storm_s, TOGETHER_S)
    return Schedule(seed, tuple(sorted(steps, key=lambda step: step.at)), storm_s)


def _users(rng: random.Random, storm_s: float) -> list[Step]:
    # mostly all at once, which the hub makes one piece of work of
    apart_s = rng.choice((0.0, 0.0, 0.0, 0.03))
    steps = [Step(0.2 + apart_s * agent, "create", agent) for agent in range(AGENTS - 3)]
    acts: list[UserAct] = [
        "create", "stop", "stop", "keep", "start", "start", "edit", "edit", "delete", "again",
        "old", "old",
    ]  # fmt: skip
    if rng.random() < 0.3:
        at, who = _moment(rng, storm_s), rng.randrange(AGENTS - 3)
        steps += [Step(at, "delete", who), Step(at + 0.7, "create", who)]
        steps += [Step(at + 1.4, "create", who), Step(at + 1.9, "old", who)]
    for _ in range(round(rng.randrange(6, 16) * (0.4 + storm_s / 16))):
        act = rng.choice(acts)
        steps.append(Step(_moment(rng, storm_s), act, rng.randrange(AGENTS)))
    if rng.random() < 0.2:
        steps.append(Step(_moment(rng, storm_s), "kill_all"))
    if rng.random() < 0.25:
        steps += [Step(0.3, "watch", 0), Step(_moment(rng, storm_s), "watch", 1)]
        steps += [Step(_moment(rng, storm_s), "hang_up", rng.randrange(2)) for _ in range(2)]
    return steps


def _faults(rng: random.Random, storm_s: float, kinds: Sequence[FaultKind]) -> list[Step]:
    # Few kinds at a time: a run in which all goes wrong at once hides one fault behind another.
    few = rng.sample(list(kinds), min(len(kinds), rng.choice((1, 2, 2, 3, 4, 6))))
    steps = [_fault(rng, storm_s, rng.choice(few)) for _ in range(rng.choice((1, 2, 3, 4, 6, 8)))]
    if "redis_loss" in kinds and rng.random() < 0.25:
        steps += _crash_after_something(rng, storm_s)
    if {"pause", "two_owners", "redis_loss"} <= set(kinds):
        story = rng.random()
        if story < 0.15:
            steps += _late_ledger(rng, storm_s)
        elif story < 0.3:
            steps += _half_read(rng, storm_s)
    return steps


def _crash_after_something(rng: random.Random, storm_s: float) -> list[Step]:
    """Redis forgets what was done last, and what saw it stands still until it is up again."""
    at, loss_s = _moment(rng, storm_s), rng.uniform(0.3, 1.2)
    crash = Step(at, "redis_loss", 0, rng.uniform(0.05, 1.0), loss_s=loss_s)
    shortly_before = at - rng.uniform(0.0, loss_s)
    act: UserAct | FaultKind = rng.choice(("pause", "stop", "start", "kill"))
    if act in {"stop", "start"}:
        acts = [Step(shortly_before, act, agent) for agent in range(AGENTS - 3)]
        return [*rng.sample(acts, 3), crash]
    who = rng.randrange(WORKERS)
    on = rng.choice(("read_events", "read_events", "commit", "HGETALL", "COMMIT"))
    # until others have recovered, or have gone on for a while
    up_s = at - shortly_before + crash.seconds
    pause_s = up_s + rng.choice((rng.uniform(0.1, 1.2), rng.uniform(1.0, 4.0)))
    pause_s = pause_s if act == "pause" else 0.0
    moment: Moment = "after" if rng.random() < 0.7 else "before"
    return [Step(shortly_before, act, who, pause_s, 0, on, moment), crash]


def _late_ledger(rng: random.Random, storm_s: float) -> list[Step]:
    """A ledger has read what Redis then forgets, and goes on when the shard has been recovered."""
    at, who, loss_s = _moment(rng, storm_s), rng.randrange(WORKERS), rng.uniform(0.4, 1.2)
    crash = Step(at, "redis_loss", 0, rng.uniform(0.05, 0.3), loss_s=loss_s)
    laid_at, then_s = at - loss_s * rng.uniform(0.2, 0.9), rng.uniform(0.0, 0.3)
    on = rng.choice(("read_events", "CREATE"))  # the last word before its transaction
    return [_held(laid_at, who, on, "after", "open_shard", then_s), crash]


def _half_read(rng: random.Random, storm_s: float) -> list[Step]:
    """Two serve one partition; again and again one of them stands still while it reads a shard, and
    goes on when the other has committed, before that one does so again.
    """
    at, who = CALM_S + rng.random(), rng.randrange(WORKERS)
    steps = [Step(at, "two_owners", HALF_READ, TOGETHER_S)]
    next_slot_s = 1.0 - phase_s(HALF_READ) + 2 * EARLY_S
    for number in range(4):
        pause_at, then_s = at + 0.1 + 1.2 * number, rng.uniform(next_slot_s, 1.0 - 2 * EARLY_S)
        steps.append(_held(pause_at, who, "HGETALL", "amid", "commit", then_s))
    return steps


def _held(
    at: float, who: int, on: str, moment: Moment, until: str, then_s: float, seconds: float = 4.0
) -> Step:
    """A pause in the midst of something, for as long as another process takes to get on."""
    return Step(at, "pause", who, seconds, 0, on, moment, until=until, then_s=then_s)


def _fault(rng: random.Random, storm_s: float, kind: FaultKind) -> Step:
    at, who = _moment(rng, storm_s), rng.randrange(6)
    seconds = {
        "pause": lambda: rng.choice((0.3, 1.2, 2.5, 5.0)) * rng.uniform(0.7, 1.3),
        "redis_crash": lambda: rng.uniform(0.05, 2.5),
        "redis_loss": lambda: rng.uniform(0.05, 2.5),
        "redis_lost": lambda: rng.uniform(0.05, 2.5),
        "postgres_away": lambda: rng.uniform(0.3, 4.0),
        "job_late": lambda: rng.uniform(0.5, 4.0),
        "clock_ahead": lambda: rng.uniform(0.5, 8.0),
        "orderly_stop": lambda: rng.uniform(0.5, 3.0),
        "two_owners": lambda: rng.uniform(1.0, 5.0),
        "all_paused": lambda: rng.choice((0.6, 1.1, 1.6, 3.0)) * rng.uniform(0.8, 1.2),
        "slow_network": lambda: rng.uniform(0.5, 3.0),
    }.get(kind, lambda: 0.0)()
    if kind in {"kill", "pause", "cut", "kill_hub"}:
        moment: Moment = rng.choice(("before", "amid", "after", "after"))
        return Step(at, kind, who, seconds, rng.randrange(4), rng.choice(EXCHANGES), moment)
    loss_s = rng.uniform(0.02, 1.2) if kind == "redis_loss" else 0.0
    return Step(at, kind, who, seconds, loss_s=loss_s)


def _moment(rng: random.Random, storm_s: float) -> float:
    return round(CALM_S + rng.random() * storm_s, 3)


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool], tries: int = 150) -> Schedule:
    """The fewest steps that still fail: leaves out halves, then quarters, at last single steps.

    fails is true of the schedule given. So many tries at most.
    """
    steps = schedule.steps
    size = len(steps) // 2
    while size >= 1:
        for begin in range(0, len(steps), size):
            shorter = replace(schedule, steps=steps[:begin] + steps[begin + size :])
            tries -= 1
            if tries < 0:
                return replace(schedule, steps=steps)
            if fails(shorter):
                steps = shorter.steps
                break
        else:
            size //= 2
    return replace(schedule, steps=steps)

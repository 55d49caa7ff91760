"""GET /internal/metrics: the pool in numbers, as Prometheus reads them.

Any hub process answers for the whole pool, so one is asked, and numbers of a worker carry its name.
They are made when they are asked for, from what workers tell each other anyway.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from starlette.requests import Request
from starlette.responses import Response

from adapters.db.errors import DatabaseAway
from adapters.db.shards import frozen_shards
from adapters.pool_load import PoolLoad, WorkerReport, read_load
from adapters.redis_client import away_as_error
from api.hub import hub_of

TEXT = "text/plain; version=0.0.4"
LAG_BOUNDS_MS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_000)
EXAMPLE = "# HELP artic_workers Workers that live.\n# TYPE artic_workers gauge\nartic_workers 1\n"
Samples = Iterable[tuple[str, float]]
"""What follows a metric's name, such as {worker="w-1"}, and the value."""


async def metrics(request: Request) -> Response:
    """GET metrics. A database that is away is one of them; without Redis there are none: 503."""
    hub = hub_of(request)
    async with away_as_error():
        load = await read_load(hub.state_redis, hub.queue.redis)
    try:
        frozen: int | None = len(await frozen_shards(hub.database))
    except DatabaseAway:
        frozen = None
    return Response(as_text(load, frozen), headers={"Content-Type": TEXT})


def as_text(load: PoolLoad, frozen: int | None) -> str:
    """Every metric. frozen: how many shards are, None while PostgreSQL does not say. Pure."""
    parts = [
        _metric("workers", "gauge", "Workers that live.", _one(len(load.workers))),
        _metric(
            "partitions_free", "gauge",
            "Tick partitions that no worker serves.", _one(load.partitions_free),
        ),
        _metric(
            "tick_queue_lag_seconds", "gauge",
            "How long the oldest tick waits beyond its moment.", _one(load.tick_queue_lag_s),
        ),
        _metric(
            "events_waiting", "gauge",
            "Events in Redis that are not on record yet.", _one(load.events_waiting),
        ),
        _metric(
            "frame_age_seconds", "gauge",
            "Since the newest slot that has prices.", _known(load.frame_age_s),
        ),
        _metric(
            "redis_used_bytes", "gauge", "Memory that Redis uses.", _one(load.redis_bytes)
        ),
        _metric(
            "redis_max_bytes", "gauge", "Memory that Redis may use; 0: no limit of its own.",
            _one(load.redis_bytes_max),
        ),
        _metric("database_up", "gauge", "1 while PostgreSQL answers.", _one(frozen is not None)),
        _metric(
            "shards_frozen", "gauge",
            "Shards whose events contradict the record.", _known(frozen),
        ),
        *_of_workers(load.workers),
    ]  # fmt: skip
    return "".join(parts)


def _of_workers(workers: list[WorkerReport]) -> Iterator[str]:
    counted = {
        "ticks": ("Ticks of agents.", {each.name: each.ticks for each in workers}),
        "commits": ("Commits of shards.", {each.name: each.commits for each in workers}),
        "events": ("Events that ticks have made.", {each.name: each.events for each in workers}),
        "commands": ("Commands applied.", {each.name: each.commands for each in workers}),
        "missed_slots": (
            "Slots of shards that were due and not run.",
            {each.name: each.missed_slots for each in workers},
        ),
    }
    for name, (says, values) in counted.items():
        samples = [(f"{{worker={_quoted(worker)}}}", count) for worker, count in values.items()]
        yield _metric(f"{name}_total", "counter", says, samples)
    refused = [
        (f"{{worker={_quoted(each.name)},reason={_quoted(reason)}}}", count)
        for each in workers
        for reason, count in each.refusals.items()
    ]
    yield _metric("commits_refused_total", "counter", "Commits that were refused.", refused)
    lags = [sample for each in workers for sample in _lag(each)]
    says = "From the moment a tick is due to its commit."
    yield _metric("tick_lag_seconds", "histogram", says, lags)


def _lag(worker: WorkerReport) -> Iterator[tuple[str, float]]:
    """Counts up to and including each bound, then the whole."""
    name, by_bound = _quoted(worker.name), dict.fromkeys(LAG_BOUNDS_MS, 0)
    for ms, count in worker.lag_ms.items():
        bound = next((each for each in LAG_BOUNDS_MS if ms < each), None)
        if bound is not None:
            by_bound[bound] += count
    slots = sum(worker.lag_ms.values())
    for bound, count in zip(by_bound, accumulate(by_bound.values()), strict=True):
        yield f'_bucket{{worker={name},le="{bound / 1000:g}"}}', count
    yield f'_bucket{{worker={name},le="+Inf"}}', slots
    yield f"_sum{{worker={name}}}", _seconds(worker.lag_ms)
    yield f"_count{{worker={name}}}", slots


def _seconds(lag_ms: Mapping[int, int]) -> float:
    return sum(ms * count for ms, count in lag_ms.items()) / 1000


def _one(value: float) -> Samples:
    return [("", value)]


def _known(value: float | None) -> Samples:
    return [] if value is None else [("", value)]


def _metric(name: str, kind: str, says: str, samples: Samples) -> str:
    lines = [f"# HELP artic_{name} {says}", f"# TYPE artic_{name} {kind}"]
    lines += [f"artic_{name}{of} {float(value):.15g}" for of, value in samples]
    return "".join(f"{line}\n" for line in lines)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'

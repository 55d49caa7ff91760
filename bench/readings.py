"""The pool as it stands after a slot: heads, rows and what was run through that slot.

Once every shard is done with a slot and every worker has reported since, a worker's ticks through
that slot are its counter without those of later slots, which its report tells apart. What lies
between two readings is whole slots, and nothing is estimated.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters import redis_keys as keys
from adapters.db.connection import connection
from adapters.redis_client import command
from adapters.redis_keys import TICK_PARTITIONS
from adapters.shard_records import Head, decode_head
from bench import machine
from bench.stack import BenchError, Stack
from engine.rows import ROW, Rows

ALIGNED_S = 60.0
REPORT_TTL_MS = 30_000
_MARGIN_MS = 50.0
"""A report written so long after the last commit was seen has counted it."""
_POLL_S = 0.02
_LOOK_AGAIN_S = 0.1
_RUNNING = 1
_UUID_BYTES = 16
_COPY_HEAD_BYTES, _COPY_END_BYTES = 19, 2
"""Of PostgreSQL's binary COPY, around the records."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Agents that run and when: ids V16, start slots and intervals i8, the shard each lies in."""

    agent: NDArray[np.void]
    start: NDArray[np.int64]
    interval: NDArray[np.int64]
    shard: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of the record, and when they were counted (time.monotonic())."""

    at: float
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was run through `slot`, and the rest as it stood at that moment (time.monotonic())."""

    slot: int
    at: float
    reports: Mapping[str, Mapping[str, Any]]
    heads: Mapping[int, Head]
    cpu: Mapping[str, float]
    machine_cpu: machine.CpuTotals
    redis: Mapping[str, Any]
    counts: "Counts"

    def total(self, name: str) -> int:
        """A counter over all workers."""
        return sum(int(report[name]) for report in self.reports.values())

    def lag_histogram(self) -> NDArray[np.int64]:
        """Commits by whole milliseconds of lag, over all workers."""
        histogram = np.zeros(2_001, np.int64)
        for report in self.reports.values():
            for ms, count in report["lag_ms"].items():
                histogram[int(ms)] += count
        return histogram


async def read_pool(stack: Stack, shards: list[int], counts: Counts | None = None) -> Reading:
    """A reading as soon as all shards are done with a slot and all workers have said so.

    counts: of a moment before; else they are counted afterwards, for which PostgreSQL reads whole
    tables and takes the cores from whoever ticks meanwhile.

    Raises:
        BenchError: they were not within ALIGNED_S, as in a pool that does not keep up.
    """
    deadline = time.monotonic() + ALIGNED_S
    slot = int(time.time())
    done_ms: float | None = None
    while time.monotonic() < deadline:
        if done_ms is None and await _is_done(stack, shards, slot):
            done_ms = time.time() * 1000
        if done_ms is not None:
            reports = await read_reports(stack)
            owned = sorted(p for _, report in reports.values() for p in report["owned"])
            told = all(at > done_ms + _MARGIN_MS for at, _ in reports.values())
            if told and owned == list(range(TICK_PARTITIONS)):
                return Reading(
                    slot=slot,
                    at=time.monotonic(),
                    reports={name: through(report, slot) for name, (_, report) in reports.items()},
                    heads=await _heads(stack, shards),
                    cpu={n: machine.cpu_seconds(pids) for n, pids in stack.processes().items()},
                    machine_cpu=machine.cpu_totals(),
                    redis=await stack.redis.info(),
                    counts=counts or await read_counts(stack),
                )
        await asyncio.sleep(_LOOK_AGAIN_S if done_ms is None else _POLL_S)
    raise BenchError(f"no slot was finished and reported within {ALIGNED_S:.0f} s")


def through(report: Mapping[str, Any], slot: int) -> dict[str, Any]:
    """A worker's report with its ticks through a slot alone, one of the newest that it tells of."""
    told = {int(each): ticks for each, ticks in report["slot_ticks"].items()}
    if told and min(told) > slot:
        raise BenchError(f"a worker has run slots {min(told)} to {max(told)}, and not told {slot}")
    later = sum(ticks for each, ticks in told.items() if each > slot)
    return {**report, "ticks": report["ticks"] - later}


async def _is_done(stack: Stack, shards: list[int], slot: int) -> bool:
    heads = await _heads(stack, shards)
    return all(head.next_due is None or head.next_due > slot for head in heads.values())


async def read_schedule(stack: Stack, shards: list[int]) -> Schedule:
    """Who runs: intervals from PostgreSQL, start slots from the rows. Nothing else of the pool."""
    wanted = await read_binary(
        stack,
        "SELECT uuid_send(id), interval_seconds FROM agents WHERE wanted = 'running'",
        {"agent": f"V{_UUID_BYTES}", "interval": ">i4"},
    )
    tables = [await read_rows(stack, shard) for shard in shards]
    rows = np.concatenate([rows[rows["status"] == _RUNNING] for rows in tables])
    running = [int((rows["status"] == _RUNNING).sum()) for rows in tables]
    agent = rows["agent_id"]
    here, there = by_id(agent), by_id(wanted["agent"])
    same = len(here) == len(there) and np.array_equal(agent[here], wanted["agent"][there])
    if not same:
        raise BenchError(f"{len(here)} rows run, {len(there)} agents are wanted running")
    interval = np.empty(len(agent), np.int64)
    interval[here] = wanted["interval"][there]
    return Schedule(
        agent=agent.copy(),
        start=rows["start_slot"].astype(np.int64),
        interval=interval,
        shard=np.repeat(np.array(shards, np.int64), running),
    )


async def read_rows(stack: Stack, shard: int) -> Rows:
    """A shard's table as it lies in Redis."""
    return np.frombuffer(await command(stack.redis, "GET", keys.shard_rows(shard)) or b"", ROW)


async def read_binary(stack: Stack, query: str, columns: Mapping[str, str]) -> Rows:
    """The answer to a question whose columns all have a fixed length and no nulls, as records: by
    COPY, since a million rows as objects would take the machine from what is measured.
    """
    parts: list[bytes] = []

    async def take(data: bytes) -> None:
        parts.append(data)

    async with connection(stack.database) as con:
        await con.copy_from_query(query, output=take, format="binary")
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns.items():
        fields += [(f"{name} bytes", ">i4"), (name, kind)]
    data = b"".join(parts)
    record = np.dtype(fields)
    count = (len(data) - _COPY_HEAD_BYTES - _COPY_END_BYTES) // record.itemsize
    return np.frombuffer(data, record, count, _COPY_HEAD_BYTES)


def by_id(ids: NDArray[np.void]) -> NDArray[np.intp]:
    """The order of ids V16."""
    halves = np.ascontiguousarray(ids).view(">u8").reshape(-1, 2)
    return np.lexsort((halves[:, 1], halves[:, 0]))


def due_between(schedule: Schedule, after: int, through: int) -> NDArray[np.int64]:
    """How often each agent was due in after+1..through."""
    first = np.maximum(after + 1, schedule.start)
    # multiples of the interval, counted from the start, that lie in the range
    below = -(-(first - schedule.start) // schedule.interval)
    upto = (through - schedule.start) // schedule.interval
    due: NDArray[np.int64] = np.maximum(upto - below + 1, 0)
    return due


def missed_between(schedule: Schedule, heads: Mapping[int, Head], after: int, through: int) -> int:
    """Due ticks of after+1..through that the heads say were not run."""
    missed = 0
    for shard, head in heads.items():
        there = schedule.shard == shard
        own = Schedule(*(getattr(schedule, name)[there] for name in Schedule.__slots__))
        for skipped in head.skipped:
            first, last = max(skipped.first - 1, after), min(skipped.last, through)
            if last > first and not skipped.paused:
                missed += int(due_between(own, first, last).sum())
    return missed


async def _heads(stack: Stack, shards: list[int]) -> dict[int, Head]:
    pipe = stack.redis.pipeline(transaction=True)
    for shard in shards:
        pipe.hgetall(keys.shard_head(shard))
    heads: dict[int, Head] = {}
    for shard, fields in zip(shards, await pipe.execute(), strict=True):
        head = decode_head(fields)
        if head is None:
            raise BenchError(f"shard {shard} has no head")
        heads[shard] = head
    return heads


async def read_reports(stack: Stack) -> dict[str, tuple[float, dict[str, Any]]]:
    """The workers' reports with the time (Unix ms) at which each was written."""
    names = [name.decode() for name in await command(stack.redis, "ZRANGE", keys.workers(), 0, -1)]
    pipe = stack.redis.pipeline(transaction=True)
    pipe.time()
    for name in names:
        pipe.get(keys.worker_report(name))
        pipe.pttl(keys.worker_report(name))
    answers: list[Any] = await pipe.execute()
    seconds, micros = answers[0]
    now_ms = seconds * 1000 + micros / 1000
    reports = {}
    for name, body, left_ms in zip(names, answers[1::2], answers[2::2], strict=True):
        if body is not None:
            written_at = now_ms - (REPORT_TTL_MS - int(left_ms))
            reports[name] = (written_at, msgspec.json.decode(body))
    return reports


async def read_counts(stack: Stack) -> Counts:
    """Counts every trade, log line and message."""
    [row] = await stack.sql(
        "SELECT (SELECT count(*) FROM trades), (SELECT count(*) FROM trades WHERE closed_at IS NOT"
        " NULL), (SELECT count(*) FROM logs), (SELECT count(*) FROM messages)"
    )
    names = ("trades", "closed", "logs", "messages")
    return Counts(time.monotonic(), dict(zip(names, map(int, row), strict=True)))

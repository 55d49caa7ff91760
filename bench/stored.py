"""Whether every trade is a row: what the rows in Redis tell of, against PostgreSQL.

A row counts its agent's events. Once the ledger has come as far as the rows that were read, each
of those events has to be in the journal, each opening has to be a trade, and there have to be as
many closed trades as closings.
"""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np

from adapters import redis_keys as keys
from adapters.redis_client import command
from bench.readings import by_id, read_binary, read_rows
from bench.stack import BenchError, Stack
from engine.rows import Rows

STORED_S = 300.0
_POLL_S = 0.2
_EVENTS = "SELECT uuid_send(agent_id), seq FROM journal"
# a payload begins with the array's head, then the word's, then the word
_OPENED = f"{_EVENTS} WHERE substring(payload FROM 5 FOR 6) = 'opened'"
_ACCOUNTS = """
SELECT (SELECT count(*) FROM journal WHERE substring(payload FROM 5 FOR 6) = 'opened'),
    (SELECT count(*) FROM trades),
    (SELECT count(*) FROM journal WHERE substring(payload FROM 5 FOR 6) = 'closed'),
    (SELECT count(*) FROM trades WHERE closed_at IS NOT NULL)
"""
_COLUMNS = {"agent": "V16", "seq": ">i8"}


@dataclass(frozen=True, slots=True)
class Stored:
    """events: that the rows tell of; waited_s: for the ledger; problems: none if all is well."""

    events: int
    trades: int
    waited_s: float
    problems: list[str]


async def stored_events(stack: Stack, shards: list[int], seeded_seq: int) -> Stored:
    """Compares rows, journal and trades. seeded_seq: events of an agent that nobody stores.

    Raises:
        BenchError: the ledger did not come so far within STORED_S.
    """
    began = time.monotonic()
    tables = [await read_rows(stack, shard) for shard in shards]
    told = np.concatenate([rows[rows["seq"] > 0] for rows in tables])
    heads = {shard: await stack.shards.read_head(shard) for shard in shards}
    await _until_stored(stack, {shard: head.version for shard, head in heads.items() if head})
    waited_s = time.monotonic() - began
    journal = await read_binary(stack, _EVENTS, _COLUMNS)
    opened = await read_binary(stack, _OPENED, _COLUMNS)
    trades = await read_binary(stack, "SELECT uuid_send(id) FROM trades", {"id": "V16"})
    problems = []
    if missing := missing_events(told, journal, seeded_seq):
        problems.append(f"{missing} agents have events that are not in the journal")
    if missing := missing_trades(opened, trades):
        problems.append(f"{missing} openings are not among the trades")
    [(openings, rows, closings, closed)] = await stack.sql(_ACCOUNTS)
    if (openings, closings) != (rows, closed):
        problems.append(
            f"{openings} openings and {closings} closings, {rows} trades, {closed} of them closed"
        )
    events = int(told["seq"].astype(np.int64).sum()) - seeded_seq * len(told)
    return Stored(events, rows, waited_s, problems)


def missing_events(told: Rows, journal: Rows, seeded_seq: int) -> int:
    """Agents whose events up to their row's number are not all in the journal."""
    agents = told[by_id(told["agent_id"])]
    ids = np.ascontiguousarray(agents["agent_id"]).view(">u8").reshape(-1, 2)
    entries = np.ascontiguousarray(journal["agent"]).view(">u8").reshape(-1, 2)
    both = np.concatenate([ids, entries])
    _, number = np.unique(both, axis=0, return_inverse=True)
    number = number.reshape(-1)
    upto = np.zeros(int(number.max(initial=-1)) + 1, np.int64)
    upto[number[: len(ids)]] = agents["seq"]
    of_entry = number[len(ids) :]
    counted = journal["seq"] <= upto[of_entry]
    stored = np.bincount(of_entry[counted], minlength=len(upto))
    expected = agents["seq"].astype(np.int64) - seeded_seq
    return int(np.count_nonzero(stored[number[: len(ids)]] != expected))


def missing_trades(opened: Rows, trades: Rows) -> int:
    """Openings whose trade, named after agent and number, is not on record."""
    there = {trade.tobytes() for trade in trades["id"]}
    named = (
        uuid5(UUID(bytes=event["agent"].tobytes()), str(int(event["seq"]))).bytes
        for event in opened
    )
    return sum(one not in there for one in named)


async def _until_stored(stack: Stack, versions: dict[int, int]) -> None:
    """Waits until the ledger has nothing left of what was there at these versions."""
    deadline = time.monotonic() + STORED_S
    for shard, version in versions.items():
        while (oldest := await _oldest_version(stack, shard)) is not None and oldest <= version:
            if time.monotonic() > deadline:
                raise BenchError(f"the ledger is more than {STORED_S:.0f} s behind")
            await asyncio.sleep(_POLL_S)


async def _oldest_version(stack: Stack, shard: int) -> int | None:
    """Of the events that the ledger has not stored yet: a stream is trimmed behind it."""
    entries = await command(stack.redis, "XRANGE", keys.shard_events(shard), "-", "+", "COUNT", 1)
    return int(entries[0][0].partition(b"-")[0]) if entries else None

"""The settings of every queue, in one place.

Timeouts mean "unknown outcome": a job that overran one may have landed, so what it does must bear
being done again, and what it has computed is lost: they are longer than a cold start on a busy
machine takes (docs/decisions/0015-turns-of-ticks.md). Results are not kept; ids differ for each
slot or period.
"""

from dataclasses import dataclass

from adapters import redis_keys as keys
from adapters.queue import CHORE_QUEUE, LEDGER_QUEUE, MARKET_QUEUE


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How one queue is worked: jobs at a time, seconds a job may take, tries after a crash."""

    name: str
    max_jobs: int
    timeout_s: float
    max_tries: int


def tick_queue(partition: int) -> QueueSettings:
    """Ticks of one partition: many short jobs; a late one is caught up by the next."""
    return QueueSettings(keys.tick_queue(partition), max_jobs=64, timeout_s=15, max_tries=3)


MARKET = QueueSettings(MARKET_QUEUE, max_jobs=4, timeout_s=2, max_tries=2)
LEDGER = QueueSettings(LEDGER_QUEUE, max_jobs=1, timeout_s=30, max_tries=3)
CHORES = QueueSettings(CHORE_QUEUE, max_jobs=4, timeout_s=60, max_tries=2)

QUEUES = ("tick", "market", "ledger", "chores")
"""What `artic worker --queues` may name."""

TICKS_AT_ONCE = 3
"""Shards that one process runs side by side. All at once, each would end only with the last."""
TURN_S = 1.0
"""How long a job waits for its turn; after that it leaves it to the next job of its shard."""
COMMANDS_BESIDE = 256
"""Commands of a slot from which on it is run beside the event loop, in which frames are made."""
CATCH_UP_S = 60
"""Slots older than this are not run any more: they are missed, and counted."""
CATCH_UP_CHUNK_S = 0.25
"""Work of one commit while a shard catches up."""
LEASE_MS = 1_000
"""A worker that says nothing for so long has lost its partitions."""
SENTINEL_PERIOD_S = 0.3
DRAIN_S = 2.0
"""How long a stopping worker waits for its running jobs."""
LEDGER_RUN_S = 10.0
"""A run of the ledger that has lasted so long leaves the rest to the next one."""
ENTRIES_STOP_AT_EVENTS = 50_000
"""Events of one shard that wait for the ledger above which no position is opened."""
ENTRIES_STOP_AT_EVENTS_IN_ALL = 1_000_000
"""The same for all shards, of which each worker watches its share: some 600 MB of Redis."""

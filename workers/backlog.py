"""How far the ledger is behind, and where a worker stops opening positions because of it.

A bound, not a fence: what is counted is what the sentinel saw a moment ago, and whatever closes,
stops or is told goes on. Which slots were run without entries is kept in the shard's head, since it
is an input of their decisions.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.settings import ENTRIES_STOP_AT_EVENTS, ENTRIES_STOP_AT_EVENTS_IN_ALL

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Backlog:
    """Events that the ledger has not stored, of the shards that one worker serves."""

    waiting: Mapping[int, int] = field(default_factory=dict)
    share: float = 1.0
    """Of all shards, those of this worker: of the bound for all of them, it has as much."""
    _closed: set[int] = field(default_factory=set)

    def note(self, waiting: Mapping[int, int], shards_in_all: int) -> None:
        """Takes down what is waiting now; shards that are no longer served count no more."""
        self.waiting = waiting
        self.share = len(waiting) / shards_in_all if waiting else 1.0
        self._closed &= waiting.keys()

    def entries_open(self, shard: int) -> bool:
        """Whether positions may be opened: not while too many events wait for the ledger."""
        in_all = sum(self.waiting.values())
        closed = (
            self.waiting.get(shard, 0) >= ENTRIES_STOP_AT_EVENTS
            or in_all >= ENTRIES_STOP_AT_EVENTS_IN_ALL * self.share
        )
        if closed != (shard in self._closed):
            if closed:
                self._closed.add(shard)
                logger.warning("shard %d opens nothing: its events wait for PostgreSQL", shard)
            else:
                self._closed.discard(shard)
                logger.warning("shard %d opens positions again", shard)
        return not closed

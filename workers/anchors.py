"""Where a recording stands, kept in PostgreSQL too: Redis may be lost, the place should not be."""

import asyncio
import logging
from collections.abc import Mapping

from adapters.db.anchors import load_source_anchor, save_source_anchor
from adapters.db.connection import Database
from adapters.db.errors import DatabaseAway
from adapters.prices import Anchor

logger = logging.getLogger(__name__)


class AnchorKeeper:
    """The market store's door to the record. Saving is beside the frame, which waits for nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._saving: set[asyncio.Task[None]] = set()

    async def save(self, source: str, slot: int, position: Mapping[str, float]) -> None:
        """Starts to save an anchor. One that is lost is followed by another within a minute."""
        task = asyncio.create_task(self._save(source, slot, position))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _save(self, source: str, slot: int, position: Mapping[str, float]) -> None:
        try:
            await save_source_anchor(self._database, source, slot, position)
        except DatabaseAway as error:
            logger.warning("the place of %s was not saved: %s", source, error)

    async def load(self, source: str) -> Anchor | None:
        """The anchor on record. Without PostgreSQL nobody may start a recording anew.

        Raises:
            DatabaseAway: PostgreSQL does not answer.
        """
        kept = await load_source_anchor(self._database, source)
        return None if kept is None else Anchor.at(kept.source, kept.slot, kept.position)

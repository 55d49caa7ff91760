"""Where a price source stood at a slot, so that it goes on there after a restart."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.db import models
from adapters.db.connection import Database, connection, orm


@dataclass(frozen=True, slots=True)
class SourceAnchor:
    """position means what the source says it means; it is JSON."""

    source: str
    slot: int
    position: Mapping[str, Any]


async def save_source_anchor(
    database: Database, source: str, slot: int, position: Mapping[str, Any]
) -> None:
    """Keeps the anchor unless one of a later slot is there: a late writer changes nothing."""
    async with connection(database) as con:
        await con.execute(
            "INSERT INTO source_anchors (source, slot, position) VALUES ($1, $2, $3::jsonb)"
            " ON CONFLICT (source) DO UPDATE SET slot = excluded.slot,"
            " position = excluded.position WHERE source_anchors.slot <= excluded.slot",
            source,
            slot,
            json.dumps(dict(position)),
        )


async def load_source_anchor(database: Database, source: str) -> SourceAnchor | None:
    """The newest anchor of a source."""
    async with orm(database):
        found = await models.SourceAnchor.get_or_none(source=source)
    return None if found is None else SourceAnchor(found.source, found.slot, found.position)

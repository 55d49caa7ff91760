"""Times as the hub writes them: UTC, ISO 8601 with milliseconds and Z."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from adapters.db.records import iso

IsoTime = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


def moment(seconds: float) -> datetime:
    """Unix seconds as a time of UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def iso_seconds(seconds: float) -> str:
    """2026-11-21T20:00:00.000Z for Unix seconds; a slot is one."""
    return iso(moment(seconds))


def parse_time(text: str) -> datetime:
    """A time with its zone, as ISO 8601. Raises ValueError, also where the zone is missing."""
    read = datetime.fromisoformat(text)
    if read.tzinfo is None:
        raise ValueError("the time lacks its zone")
    return read.astimezone(UTC)

"""Times as the hub writes them: UTC, ISO 8601 with milliseconds and Z."""

from datetime import UTC, datetime


def iso_time(moment: datetime) -> str:
    """2026-11-21T20:00:00.000Z; a time without a zone is taken as UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def iso_seconds(seconds: float) -> str:
    """The same for Unix seconds; a slot is one."""
    return iso_time(datetime.fromtimestamp(seconds, UTC))


def parse_time(text: str) -> datetime:
    """A time with its zone, as ISO 8601. Raises ValueError, also where the zone is missing."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time lacks its zone")
    return moment.astimezone(UTC)

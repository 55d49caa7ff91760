"""What a worker's log says of single agents: those that went into error, and at debug everything.

Said after the commit, so that a slot that was run twice is told once. Bounded: one bad strategy may
fail for a whole shard in one slot.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

from engine.events import Event, decode_event

logger = logging.getLogger(__name__)

LINES_MAX = 10


def tell_failed(failed: Sequence[Event]) -> None:
    """A line for each agent that went into error, up to LINES_MAX of them."""
    for event in failed[:LINES_MAX]:
        logger.warning("went into error: %s", event.text, extra=whose(event))
    if len(failed) > LINES_MAX:
        logger.warning("%d more agents went into error", len(failed) - LINES_MAX)


def tell_events(events: Sequence[bytes]) -> None:
    """At debug a line for each event."""
    if logger.isEnabledFor(logging.DEBUG):
        for encoded in events:
            event = decode_event(encoded)
            logger.debug("%s, event %d", event.kind, event.seq, extra=whose(event))


def whose(event: Event) -> dict[str, object]:
    """Fields of a line about an event."""
    return {"agent_id": UUID(bytes=event.agent_id), "slot": event.slot}

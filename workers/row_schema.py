"""The schema in which a shard is written: the one it has, until the setting asks for a newer one.

A shard of schema 1 may be read by processes of the version before, so what is written there is what
that version would write: records and events of its layout, none of its unknown kinds, no settings
that it would drop. docs/decisions/0008-row-schema-2.md has the order of an upgrade.
"""

import msgspec

from engine.rows import ROW_SCHEMA
from engine.schemas import as_kept, rows_from_bytes, rows_to_bytes
from engine.tick import Outcome


def outcome_in(outcome: Outcome, schema: int) -> Outcome:
    """An outcome as a shard of this schema keeps it."""
    if schema == ROW_SCHEMA:
        return outcome
    events = [
        msgspec.structs.replace(
            event, row_after=rows_to_bytes(rows_from_bytes(event.row_after), schema)
        )
        for event in outcome.events
    ]
    return Outcome(as_kept(outcome.rows, outcome.changed, schema), outcome.changed, events)

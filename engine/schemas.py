"""Records of other schemas: read as those of today, exactly; written if they hold all that counts.

A shard keeps the schema it has until it is switched (docs/decisions/), so both are met at once: in
Redis by the head's number, in PostgreSQL and in events by the length of the record.
"""

from typing import Final

import numpy as np

from engine.errors import RowsError
from engine.rows import ROW, ROW_1, ROW_SCHEMA, Index, Mask, RowFlag, RowRule, Rows, copy_of

RECORD_BYTES: Final = {1: ROW_1.itemsize, ROW_SCHEMA: ROW.itemsize}
"""Length of a record by schema. No two are alike."""

_SCHEMA_OF_LENGTH: Final = {size: schema for schema, size in RECORD_BYTES.items()}
_FLAGS_1: Final = int(RowFlag.CLOSING | RowFlag.DELETING | RowFlag.STALE_SAID)
_RULES_1: Final = int(RowRule.SESSION_LOSS)
_SETTINGS_2: Final = (
    "time_stop_s",
    "cooldown_s",
    "atr_multiple_centi",
    "reward_risk_centi",
    "trailing_stop_bps",
    "break_even_bps",
    "max_drawdown_bps",
    "max_trades_per_day",
    "halt",
)


def rows_from_bytes(table: bytes, schema: int = ROW_SCHEMA) -> Rows:
    """The rows of a table's bytes, read-only; rows_to_bytes is the way back.

    Raises:
        RowsError: no whole number of records, or a schema that is not known.
    """
    size = RECORD_BYTES.get(schema)
    if size is None:
        raise RowsError(f"row schema {schema} is not known here; known: {sorted(RECORD_BYTES)}")
    if len(table) % size:
        raise RowsError(f"{len(table)} bytes are not a whole number of {size}-byte rows")
    if schema == ROW_SCHEMA:
        return np.frombuffer(table, ROW)
    wide = np.zeros((len(table) // size, ROW.itemsize), np.uint8)
    wide[:, :size] = np.frombuffer(table, np.uint8).reshape(-1, size)
    rows = wide.reshape(-1).view(ROW)
    rows["rules"] = np.where(rows["max_session_loss_usd"] > 0, _RULES_1, 0)
    rows.flags.writeable = False
    return rows


def record_schema(record: bytes) -> int:
    """The schema of one record. Raises RowsError for a length that none has."""
    schema = _SCHEMA_OF_LENGTH.get(len(record))
    if schema is None:
        raise RowsError(f"no row has {len(record)} bytes")
    return schema


def record_from_bytes(record: bytes) -> Rows:
    """One record of whatever schema, as a table of one row. Raises RowsError."""
    return rows_from_bytes(record, record_schema(record))


def rows_to_bytes(rows: Rows, schema: int = ROW_SCHEMA) -> bytes:
    """A table as it is stored. Raises RowsError for a row whose settings the schema cannot hold.

    What only those settings would look at (peaks, sums, counts) is left out.
    """
    if schema == ROW_SCHEMA:
        return rows.tobytes()
    unfit = np.flatnonzero(~fits(rows, schema))
    if unfit.size:
        raise RowsError(f"row schema {schema} cannot hold the settings of row {unfit[0]}")
    size = RECORD_BYTES[schema]
    plain = copy_of(rows)
    plain["flags"] &= np.uint8(_FLAGS_1)
    return plain.view(np.uint8).reshape(-1, ROW.itemsize)[:, :size].tobytes()


def fits(rows: Rows, schema: int) -> Mask:
    """Which rows a schema can hold. Raises RowsError for one that is not known."""
    if schema not in RECORD_BYTES:
        raise RowsError(f"row schema {schema} is not known here; known: {sorted(RECORD_BYTES)}")
    if schema == ROW_SCHEMA:
        return np.ones(len(rows), np.bool_)
    plain: Mask = (rows["rules"] & ~np.uint16(_RULES_1)) == 0
    for name in _SETTINGS_2:
        plain &= rows[name] == 0
    return plain


def as_kept(rows: Rows, changed: Index, schema: int) -> Rows:
    """The table as it will be read again from a shard of this schema: changed rows lose what is
    not stored, so that it makes no difference whether a worker remembers them. Raises RowsError.
    """
    if schema == ROW_SCHEMA or not changed.size:
        return rows
    kept = copy_of(rows)
    stored = rows_to_bytes(kept[changed], schema)
    kept[changed] = rows_from_bytes(stored, schema)
    return kept

"""Records of the schema before: read exactly, written only where nothing that counts is lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RowsError
from engine.rows import ROW, ROW_1, ROW_SCHEMA, RowFlag, RowRule, Rows, empty_rows
from engine.schemas import (
    RECORD_BYTES,
    as_kept,
    fits,
    record_from_bytes,
    record_schema,
    rows_from_bytes,
    rows_to_bytes,
)
from tests.engine.builders import holding, running

OLD_FLAGS = int(RowFlag.CLOSING | RowFlag.DELETING | RowFlag.STALE_SAID)
SETTINGS_OF_2 = {
    "time_stop_s": 60,
    "cooldown_s": 60,
    "atr_multiple_centi": 200,
    "reward_risk_centi": 200,
    "trailing_stop_bps": 100,
    "break_even_bps": 100,
    "max_drawdown_bps": 500,
    "max_trades_per_day": 3,
    "halt": 1,
    "rules": int(RowRule.KELLY),
}


@st.composite
def old_tables(draw: st.DrawFn) -> np.ndarray:
    """Any bytes, as far as the version before wrote them: it knew three flags."""
    count = draw(st.integers(0, 5))
    data = draw(st.binary(min_size=count * ROW_1.itemsize, max_size=count * ROW_1.itemsize))
    rows = np.frombuffer(data, ROW_1).copy()
    rows["flags"] &= OLD_FLAGS
    return rows


def test_bytes_are_the_table_and_back_but_cannot_be_written() -> None:
    rows = empty_rows(2)
    rows[1]["quantity"] = 1.5
    read = rows_from_bytes(rows_to_bytes(rows))
    assert read.tobytes() == rows.tobytes()
    assert read[1]["quantity"] == 1.5
    for table in (read, rows_from_bytes(bytes(2 * ROW_1.itemsize), 1)):
        with pytest.raises(ValueError, match="read-only"):
            table["quantity"] = 2.0


def test_half_a_row_is_no_table_and_schemas_are_known_or_not() -> None:
    assert len(rows_from_bytes(b"")) == len(rows_from_bytes(b"", 1)) == 0
    for length, schema in ((ROW.itemsize + 1, 2), (ROW_1.itemsize + 1, 1)):
        with pytest.raises(RowsError, match=f"{length} bytes"):
            rows_from_bytes(bytes(length), schema)
    for call in (rows_from_bytes, lambda data, schema: rows_to_bytes(empty_rows(0), schema)):
        with pytest.raises(RowsError, match="row schema 3"):
            call(b"", 3)
    with pytest.raises(RowsError, match="no row has 166 bytes"):
        record_from_bytes(bytes(166))


@given(old_tables())
@settings(max_examples=100, deadline=None)
def test_schema_1_is_read_field_by_field_and_written_back_bit_by_bit(old: np.ndarray) -> None:
    rows = rows_from_bytes(old.tobytes(), 1)
    for name in ROW_1.names or ():
        assert rows[name].tobytes() == old[name].tobytes()
    for name in set(ROW.names or ()) - set(ROW_1.names or ()) - {"rules"}:
        assert not rows[name].any()
    limited = old["max_session_loss_usd"] > 0
    assert rows["rules"].tolist() == [int(RowRule.SESSION_LOSS) * bool(one) for one in limited]
    assert fits(rows, 1).all()
    assert rows_to_bytes(rows, 1) == old.tobytes()


def test_a_record_says_its_schema_by_its_length() -> None:
    for schema, length in RECORD_BYTES.items():
        assert record_schema(bytes(length)) == schema
        assert record_from_bytes(bytes(length)).tobytes() == bytes(ROW.itemsize)


@pytest.mark.parametrize("name", SETTINGS_OF_2)
def test_a_setting_that_schema_1_has_no_place_for_is_refused(name: str) -> None:
    rows = running(3)
    assert fits(rows, 1).all()
    rows[name][1] = SETTINGS_OF_2[name]
    assert fits(rows, 1).tolist() == [True, False, True]
    assert fits(rows, ROW_SCHEMA).all()
    with pytest.raises(RowsError, match="cannot hold the settings of row 1"):
        rows_to_bytes(rows, 1)


def test_what_only_new_settings_would_look_at_is_left_out() -> None:
    rows = holding(+1)
    rows["flags"] |= np.uint8(RowFlag.LAST_LOST | RowFlag.STALE_SAID)
    rows["wins"], rows["won_usd"] = 3, 12.5
    kept = as_kept(rows, np.array([0]), 1)
    assert kept[0]["best_price"] == kept[0]["wins"] == kept[0]["won_usd"] == 0
    assert kept[0]["flags"] == RowFlag.STALE_SAID
    assert kept[0]["entry_price"] == rows[0]["entry_price"]
    assert kept.tobytes() == rows_from_bytes(rows_to_bytes(rows, 1), 1).tobytes()


def test_rows_that_did_not_change_are_kept_as_they_are() -> None:
    rows: Rows = holding(+1, 3)
    kept = as_kept(rows, np.array([1]), 1)
    assert kept["best_price"].tolist() == [100.0, 0.0, 100.0]
    assert as_kept(rows, np.array([1]), ROW_SCHEMA) is rows
    assert as_kept(rows, np.array([], np.intp), 1) is rows

"""Holds recomputed trades against the rows of a ledger; says in words what is not the same.

Nothing of the product is imported here.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from bench.recompute_rules import Trade

NUMBER_TOLERANCE = 1e-9
"""Relative difference below which two numbers are called the same."""

USD_TOLERANCE = 2.5e-8
"""Amounts are kept to eight decimals, and a result is made of three: two units are rounding."""

NOTIONAL_TOLERANCE = 2e-11
"""Of the notional, for amounts: where the 13th digit of a price is an exact 5, decimal and binary
may round it to different sides, and a result is the difference of two such prices.
"""


def compare(expected: Sequence[Trade], ledger_rows: Iterable[Mapping[str, object]]) -> list[str]:
    """Differences in plain words, none when the ledger holds exactly the expected trades.

    A ledger row has the names of a trade in the API (agent_id, side, quantity, leverage,
    entry_price, exit_price, fee_usd, pnl_usd, open_reason, close_reason, opened_at, closed_at);
    times as datetime, ISO 8601 text or Unix seconds; numbers as int, float or Decimal. Slots, sides
    and reasons must be equal, numbers to 1e-9 of their size (USD amounts at least to the tolerances
    above: rounding to eight decimals and to the last digit of a price).
    """
    differences: list[str] = []
    found: dict[tuple[str, float | None], Mapping[str, object]] = {}
    for row in ledger_rows:
        key = str(row["agent_id"]), _seconds(row["opened_at"])
        if key in found:
            differences.append(f"{_name(*key)}: more than once in the ledger")
        found[key] = row
    for trade in expected:
        wanted_key = trade.agent_id, float(trade.opened_slot)
        name = _name(*wanted_key)
        match = found.pop(wanted_key, None)
        if match is None:
            differences.append(f"{name}: not in the ledger ({trade.side}, {trade.close_reason})")
        else:
            differences += [f"{name}: {each}" for each in _field_differences(trade, match)]
    differences += [f"{_name(*key)}: in the ledger, not expected" for key in found]
    return differences


def _name(agent_id: str, opened: float | None) -> str:
    return f"agent {agent_id}, opened at {'no time' if opened is None else f'{opened:.15g}'}"


def _field_differences(trade: Trade, row: Mapping[str, object]) -> list[str]:
    said: list[tuple[str, object, object]] = []
    for name in ("side", "leverage", "open_reason", "close_reason"):
        wanted: object = getattr(trade, name)
        if row[name] != wanted:
            said.append((name, row[name], wanted))
    closed = _seconds(row["closed_at"])
    if closed != trade.closed_slot:
        said.append(("closed_at", closed, trade.closed_slot))
    usd = max(USD_TOLERANCE, NOTIONAL_TOLERANCE * trade.quantity * trade.entry_price)
    for name, at_least in (
        ("quantity", 0.0),
        ("entry_price", 0.0),
        ("exit_price", 0.0),
        ("fee_usd", usd),
        ("pnl_usd", usd),
    ):
        number: float | None = getattr(trade, name)
        if not _same(row[name], number, at_least):
            said.append((name, row[name], number))
    return [f"{name} is {got}, expected {wanted}" for name, got, wanted in said]


def _same(got: object, wanted: float | None, at_least: float) -> bool:
    if got is None or wanted is None:
        return got is None and wanted is None
    number = float(str(got))
    return abs(number - wanted) <= max(NUMBER_TOLERANCE * abs(wanted), at_least)


def _seconds(moment: object) -> float | None:
    """Unix seconds of a time in any of the forms a ledger row may give it."""
    if moment is None:
        return None
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return aware.timestamp()
    return float(str(moment))

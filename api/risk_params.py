"""What an agent may risk: size, exits, limits and costs, as its owner writes them.

docs/exits.md says what they do. Each number is kept in whole steps (docs/glossary.md), so a value
between two steps is refused instead of being rounded silently.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from api.bodies import Body, Check

PCT_DECIMALS = 4
COARSE_DECIMALS = 2
BPS_DECIMALS = 2
USD_DECIMALS = 8
PCT_MAX = 400_000.0
POSITION_USD_MIN = 0.01
POSITION_USD_MAX = 1_000_000_000.0
INTERVAL_S_MAX = 2_147_483_647
TRAILING_PCT_MIN = 0.05
"""The step in which a best price moves."""
TRADES_PER_DAY_MAX = 10_000


def at_most_decimals(value: float, decimals: int) -> str | None:
    """What is wrong with a number that has more decimals than its field keeps."""
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    if isinstance(exponent, int) and -exponent > decimals:
        return f"expected at most {decimals} decimals"
    return None


def _pct(value: float) -> str | None:
    return at_most_decimals(value, PCT_DECIMALS)


def _coarse(value: float) -> str | None:
    return at_most_decimals(value, COARSE_DECIMALS)


def _bps(value: float) -> str | None:
    return at_most_decimals(value, BPS_DECIMALS)


def _usd(value: float) -> str | None:
    return at_most_decimals(value, USD_DECIMALS)


Pct = Annotated[float, Meta(gt=0, le=PCT_MAX)]
Multiple = Annotated[float, Meta(ge=0.01, le=100)]
Bps = Annotated[float, Meta(ge=0, le=655.35)]
Seconds = Annotated[int, Meta(ge=1, le=INTERVAL_S_MAX)]
PositionUsd = Annotated[float, Meta(ge=POSITION_USD_MIN, le=POSITION_USD_MAX)]
LossUsd = Annotated[float, Meta(gt=0, le=POSITION_USD_MAX)]
Trailing = Annotated[float, Meta(ge=TRAILING_PCT_MIN, lt=100)]
Share = Annotated[float, Meta(ge=0.01, le=100)]
TradesPerDay = Annotated[int, Meta(ge=1, le=TRADES_PER_DAY_MAX)]


class RiskParams(Body, frozen=True, kw_only=True):
    """Sizes, exits, limits and costs of an agent; those with `null` are off."""

    checks: ClassVar[Mapping[str, Check]] = {
        "max_position_usd": _usd,
        "stop_loss_pct": _pct,
        "take_profit_pct": _pct,
        "atr_multiple": _coarse,
        "reward_risk_ratio": _coarse,
        "trailing_stop_pct": _coarse,
        "max_session_loss_usd": _usd,
        "max_drawdown_pct": _coarse,
        "fee_bps": _bps,
        "slippage_bps": _bps,
        "break_even_pct": _coarse,
    }

    max_position_usd: PositionUsd = 100.0
    stop_loss_pct: Pct = 2.0
    take_profit_pct: Pct = 4.0
    leverage: Annotated[int, Meta(ge=1, le=125)] = 1
    tp_sl_mode: Literal["fixed", "dynamic"] = "fixed"
    atr_multiple: Multiple = 2.0
    reward_risk_ratio: Multiple = 2.0
    trailing_stop_pct: Trailing | None = None
    max_session_loss_usd: LossUsd | None = None
    max_drawdown_pct: Share | None = None
    fee_bps: Bps = 10.0
    slippage_bps: Bps = 1.0
    break_even_pct: Share | None = None
    time_stop_seconds: Seconds | None = None
    cooldown_seconds: Seconds | None = None
    max_trades_per_day: TradesPerDay | None = None
    sizing_mode: Literal["fixed", "kelly", "kelly_size", "vol_scaling", "vol_scaling_mult"] = (
        "fixed"
    )

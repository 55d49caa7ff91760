"""How an agent, or all of an account's agents together, have done, out of their trades alone.

Pure arithmetic; nothing of it is stored. Ratios are those of daily returns: the P&L of the trades
closed on a UTC day, by the capital (max_position_usd, of a fleet the sum), days without a trade
being zero, from the day of the first opening through today; annualised with 365, because these
markets never close.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY_S: Final = 86_400
DAYS_A_YEAR: Final = 365
DAYS_MIN: Final = 2
"""Ratios of fewer days say nothing."""
LOG_GROWTH_MAX: Final = 50.0
"""A year's growth above e^50 comes of a day or two, and says nothing either."""


@dataclass(frozen=True, slots=True)
class TradeDays:
    """Closed trades added up by the UTC day of their close, one element for each day with any.

    day counts from 1970 and ascends; amounts in USD, lost_usd above zero.
    """

    day: Ints
    trades: Ints
    wins: Ints
    losses: Ints
    won_usd: Floats
    lost_usd: Floats
    held_s: Floats


@dataclass(frozen=True, slots=True)
class Traded:
    """What an agent has traded, or several have together; open trades count where they are known.

    capital_usd: the sum of max_position_usd. alive and held: seconds since each agent was made, and
    seconds in which it had a position, times its capital; one that has traded before, elsewhere,
    counts from its first opening. first_day: of the first opening, None without trades. fall_usd
    and fall_share: deepest fall of capital and P&L from a peak, after each moment of a close.
    """

    agents: int
    capital_usd: float
    alive: float
    held: float
    first_day: int | None
    fees_usd: float
    turnover_usd: float
    fall_usd: float
    fall_share: float
    days: TradeDays


@dataclass(frozen=True, slots=True)
class Metrics:
    """win_rate and exposure are fractions, max_drawdown_pct is per cent; None: there is none.

    trades, wins and losses count closed trades; total_pnl_usd is realized, net of fees, and
    expectancy_usd what a closed trade has brought on average. calmar is the compound growth of a
    year by the deepest drawdown. exposure is the share of time and capital that was in the market.
    """

    trades: int
    wins: int
    losses: int
    win_rate: float | None
    total_pnl_usd: float
    fees_usd: float
    profit_factor: float | None
    expectancy_usd: float | None
    sharpe: float | None
    sortino: float | None
    calmar: float | None
    max_drawdown_usd: float
    max_drawdown_pct: float
    exposure: float
    turnover_usd: float
    average_hold_seconds: float | None


def metrics_of(traded: Traded, now_s: float) -> Metrics:
    """now_s: Unix seconds; days are counted through its own."""
    days = traded.days
    trades = int(days.trades.sum())
    won, lost = math.fsum(days.won_usd), math.fsum(days.lost_usd)
    returns = _daily_returns(traded, now_s)
    sharpe, sortino = _ratios(returns)
    return Metrics(
        trades=trades,
        wins=int(days.wins.sum()),
        losses=int(days.losses.sum()),
        win_rate=int(days.wins.sum()) / trades if trades else None,
        total_pnl_usd=_usd(won - lost),
        fees_usd=_usd(traded.fees_usd),
        profit_factor=won / lost if lost else None,
        expectancy_usd=_usd((won - lost) / trades) if trades else None,
        sharpe=sharpe,
        sortino=sortino,
        calmar=_calmar(returns, traded.fall_share),
        max_drawdown_usd=_usd(traded.fall_usd),
        max_drawdown_pct=traded.fall_share * 100.0,
        exposure=min(traded.held / traded.alive, 1.0) if traded.alive > 0 else 0.0,
        turnover_usd=_usd(traded.turnover_usd),
        average_hold_seconds=math.fsum(days.held_s) / trades if trades else None,
    )


def _daily_returns(traded: Traded, now_s: float) -> Floats:
    """One return for each UTC day from the first opening's through today's; none without trades."""
    if traded.first_day is None:
        return np.zeros(0)
    # a trade may be reported with a close before its opening
    day = np.maximum(traded.days.day - traded.first_day, 0)
    last = max(int(now_s // DAY_S) - traded.first_day, int(day.max(initial=0)))
    brought = traded.days.won_usd - traded.days.lost_usd
    totals = np.bincount(day, brought, minlength=last + 1)
    return np.asarray(totals, np.float64) / traded.capital_usd


def _ratios(returns: Floats) -> tuple[float | None, float | None]:
    """(Sharpe, Sortino): the mean by the sample deviation, and by that of the losses below 0."""
    if returns.size < DAYS_MIN:
        return None, None
    mean, year = float(returns.mean()), math.sqrt(DAYS_A_YEAR)
    deviation = float(returns.std(ddof=1))
    downside = math.sqrt(float(np.square(np.minimum(returns, 0.0)).mean()))
    sharpe = mean / deviation * year if deviation > 0 else None
    return sharpe, mean / downside * year if downside > 0 else None


def _calmar(returns: Floats, fall_share: float) -> float | None:
    """A year's compound growth by the deepest drawdown; None where all the capital was lost."""
    grown = 1.0 + math.fsum(returns)
    if returns.size < DAYS_MIN or grown <= 0 or fall_share <= 0:
        return None
    a_year = math.log(grown) * DAYS_A_YEAR / returns.size
    return math.expm1(a_year) / fall_share if a_year <= LOG_GROWTH_MAX else None


def _usd(number: float) -> float:
    """Eight decimals, as everywhere; what the sum of floats has beyond them is noise."""
    return round(number, 8)

"""How an agent has done, out of its trades alone. Pure arithmetic; nothing of it is stored.

Ratios are those of daily returns: the P&L of the trades closed on a UTC day, by max_position_usd,
days without a trade being zero, from the day of the first opening through today; annualised with
365, because these markets never close.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DAY_S: Final = 86_400
DAYS_A_YEAR: Final = 365
DAYS_MIN: Final = 2
"""Ratios of fewer days say nothing."""


@dataclass(frozen=True, slots=True)
class TradeColumns:
    """An agent's trades, one element each, those that are closed in the order of their close.

    Prices and amounts in USD, times in Unix seconds. exit_price, pnl_usd and closed_at are NaN
    while a trade is open; fee_usd is that of the entry then, else of both sides.
    """

    quantity: Floats
    entry_price: Floats
    exit_price: Floats
    fee_usd: Floats
    pnl_usd: Floats
    opened_at: Floats
    closed_at: Floats


@dataclass(frozen=True, slots=True)
class Metrics:
    """win_rate and exposure are fractions, max_drawdown_pct is per cent; None: there is none.

    trades, wins and losses count closed trades; total_pnl_usd is realized, net of fees.
    """

    trades: int
    wins: int
    losses: int
    win_rate: float | None
    total_pnl_usd: float
    fees_usd: float
    profit_factor: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown_usd: float
    max_drawdown_pct: float
    exposure: float
    turnover_usd: float


def metrics_of(
    trades: TradeColumns, max_position_usd: float, since_s: float, now_s: float
) -> Metrics:
    """since_s: when the agent was created; exposure is the share of the time from there to now.

    One that has traded before, elsewhere, counts from its first opening.
    """
    closed = ~np.isnan(trades.closed_at)
    pnl = trades.pnl_usd[closed]
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    lost = -math.fsum(losses)
    sharpe, sortino = _ratios(_daily_returns(trades, closed, max_position_usd, now_s))
    drawdown_usd, drawdown_pct = _drawdown(pnl, max_position_usd)
    return Metrics(
        trades=int(pnl.size),
        wins=int(wins.size),
        losses=int(losses.size),
        win_rate=wins.size / pnl.size if pnl.size else None,
        total_pnl_usd=_usd(math.fsum(pnl)),
        fees_usd=_usd(math.fsum(trades.fee_usd)),
        profit_factor=math.fsum(wins) / lost if lost else None,
        sharpe=sharpe,
        sortino=sortino,
        max_drawdown_usd=_usd(drawdown_usd),
        max_drawdown_pct=drawdown_pct,
        exposure=_exposure(trades, since_s, now_s),
        turnover_usd=_usd(
            math.fsum(trades.quantity * trades.entry_price)
            + math.fsum((trades.quantity * trades.exit_price)[closed])
        ),
    )


def _daily_returns(
    trades: TradeColumns, closed: NDArray[np.bool_], max_position_usd: float, now_s: float
) -> Floats:
    """One return for each UTC day from the first opening's through today's; none without trades."""
    if not trades.opened_at.size:
        return np.zeros(0)
    first = int(trades.opened_at.min() // DAY_S)
    day = (trades.closed_at[closed] // DAY_S).astype(np.int64) - first
    last = max(int(now_s // DAY_S) - first, int(day.max(initial=0)))
    # a trade may be reported with a close before its opening
    totals = np.bincount(np.maximum(day, 0), trades.pnl_usd[closed], minlength=last + 1)
    return np.asarray(totals, np.float64) / max_position_usd


def _ratios(returns: Floats) -> tuple[float | None, float | None]:
    """(Sharpe, Sortino): the mean by the sample deviation, and by that of the losses below 0."""
    if returns.size < DAYS_MIN:
        return None, None
    mean, year = float(returns.mean()), math.sqrt(DAYS_A_YEAR)
    deviation = float(returns.std(ddof=1))
    downside = math.sqrt(float(np.square(np.minimum(returns, 0.0)).mean()))
    sharpe = mean / deviation * year if deviation > 0 else None
    return sharpe, mean / downside * year if downside > 0 else None


def _drawdown(pnl: Floats, max_position_usd: float) -> tuple[float, float]:
    """(USD, per cent): the deepest falls of max_position_usd and what was won with it."""
    equity = max_position_usd + np.concatenate([[0.0], np.cumsum(pnl)])
    peak = np.maximum.accumulate(equity)
    return float((peak - equity).max()), float(((peak - equity) / peak).max() * 100.0)


def _exposure(trades: TradeColumns, since_s: float, now_s: float) -> float:
    if not trades.opened_at.size:
        return 0.0
    start = min(since_s, float(trades.opened_at.min()))
    until = np.where(np.isnan(trades.closed_at), now_s, trades.closed_at)
    held = math.fsum(np.maximum(until - trades.opened_at, 0.0))
    return min(held / (now_s - start), 1.0) if now_s > start else 0.0


def _usd(number: float) -> float:
    """Eight decimals, as everywhere; what the sum of floats has beyond them is noise."""
    return round(number, 8)

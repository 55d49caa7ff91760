"""Trades added up one by one: what the sums that PostgreSQL makes are held to."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.metrics import DAY_S, Traded, TradeDays


@dataclass(frozen=True)
class ATrade:
    """Times are Unix seconds; NaN for what an open trade has not."""

    opened: float
    closed: float = math.nan
    pnl: float = math.nan
    quantity: float = 1.0
    entry: float = 100.0
    exit: float = 110.0
    fee: float = 0.2

    @property
    def is_closed(self) -> bool:
        return not math.isnan(self.closed)


@dataclass(frozen=True)
class AnAgent:
    trades: Sequence[ATrade]
    capital: float
    since: float


def add_up(agents: Sequence[AnAgent], now: float) -> Traded:
    trades = [trade for agent in agents for trade in agent.trades]
    capital = sum(agent.capital for agent in agents)
    alive = held = 0.0
    for agent in agents:
        start = min([agent.since, *(trade.opened for trade in agent.trades)])
        alive += agent.capital * max(now - start, 0.0)
        for trade in agent.trades:
            end = trade.closed if trade.is_closed else now
            held += agent.capital * max(end - trade.opened, 0.0)
    closed = [trade for trade in trades if trade.is_closed]
    fall_usd, fall_share = _fall(closed, capital)
    return Traded(
        agents=len(agents),
        capital_usd=capital,
        alive=alive,
        held=held,
        first_day=int(min(trade.opened for trade in trades) // DAY_S) if trades else None,
        fees_usd=sum(trade.fee for trade in trades),
        turnover_usd=sum(
            trade.quantity * (trade.entry + (trade.exit if trade.is_closed else 0.0))
            for trade in trades
        ),
        fall_usd=fall_usd,
        fall_share=fall_share,
        days=_days(closed),
    )


def _fall(closed: Sequence[ATrade], capital: float) -> tuple[float, float]:
    moments: dict[float, float] = defaultdict(float)
    for trade in closed:
        moments[trade.closed] += trade.pnl
    equity = peak = capital
    usd = share = 0.0
    for moment in sorted(moments):
        equity += moments[moment]
        peak = max(peak, equity)
        usd, share = max(usd, peak - equity), max(share, (peak - equity) / peak)
    return usd, share


def _days(closed: Sequence[ATrade]) -> TradeDays:
    by_day: dict[int, list[ATrade]] = defaultdict(list)
    for trade in closed:
        by_day[int(trade.closed // DAY_S)].append(trade)
    days = sorted(by_day)
    return TradeDays(
        day=np.array(days, np.int64),
        trades=np.array([len(by_day[day]) for day in days], np.int64),
        wins=np.array([sum(t.pnl > 0 for t in by_day[day]) for day in days], np.int64),
        losses=np.array([sum(t.pnl < 0 for t in by_day[day]) for day in days], np.int64),
        won_usd=np.array([sum(max(t.pnl, 0.0) for t in by_day[day]) for day in days], float),
        lost_usd=np.array([sum(max(-t.pnl, 0.0) for t in by_day[day]) for day in days], float),
        held_s=np.array(
            [sum(max(t.closed - t.opened, 0.0) for t in by_day[day]) for day in days], float
        ),
    )

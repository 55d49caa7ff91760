"""How large a position is: all of max_position_usd, or a fraction of it that is never above one.

Kelly's fraction follows from the agent's own closed trades; the volatility's from a reading of its
plan. An agent whose reading is not there opens nothing: a size that was not worked out is a guess.
"""

from typing import Final

import numpy as np

from engine.rows import Floats, Index, Mask, RowRule, Rows

KELLY_SHARE: Final = 0.25
"""A quarter of what Kelly says: the win rate is an estimate, and overbetting costs more."""
KELLY_TRADES_MIN: Final = 20
"""Below so many closed trades the size is fixed."""
KELLY_FRACTION_MIN: Final = 0.05
"""Not less, or an agent without an edge could never show that it has found one."""
VOLATILITY_TARGET: Final = 0.2
"""Annualized; an agent on a plan that moves more takes less."""

_COUNT_MAX: Final = 2**16 - 1
_KELLY: Final = int(RowRule.KELLY)
_VOLATILITY: Final = int(RowRule.VOLATILITY)


def notional_usd(rows: Rows, volatility: Floats) -> Floats:
    """What each row may put into a position; `volatility` is of its plan, NaN none."""
    rules = rows["rules"]
    fraction = np.ones(len(rows))
    by_kelly = (rules & _KELLY) != 0
    if by_kelly.any():
        fraction = np.where(by_kelly, kelly_fraction(rows), fraction)
    by_volatility = (rules & _VOLATILITY) != 0
    if by_volatility.any():
        fraction = np.where(by_volatility, volatility_fraction(volatility), fraction)
    return rows["max_position_usd"] * fraction


def kelly_fraction(rows: Rows) -> Floats:
    """A quarter of p - (1 - p) / b, from the share of wins p and the mean win by the mean loss b.

    Kelly, "A New Interpretation of Information Rate" (1956), in the form for bets of fixed odds.
    """
    wins, losses = rows["wins"].astype(np.float64), rows["losses"].astype(np.float64)
    won, lost = rows["won_usd"].astype(np.float64), rows["lost_usd"].astype(np.float64)
    trades = wins + losses
    with np.errstate(all="ignore"):
        share = wins / trades
        odds = (won / wins) / (lost / losses)
        bet = share - (1.0 - share) / odds
    bet = np.where(losses == 0, share, np.where(wins == 0, -1.0, bet))
    bet = np.where(np.isfinite(bet), bet * KELLY_SHARE, KELLY_FRACTION_MIN)
    fraction = np.minimum(np.maximum(bet, KELLY_FRACTION_MIN), 1.0)
    return np.where(trades < KELLY_TRADES_MIN, 1.0, fraction)


def volatility_known(volatility: Floats) -> Mask:
    known: Mask = volatility >= 0
    return known


def volatility_fraction(volatility: Floats) -> Floats:
    """Target by volatility, at most 1; 0 where it is not known or without bounds."""
    with np.errstate(all="ignore"):
        fraction = np.minimum(VOLATILITY_TARGET / volatility, 1.0)
    return np.where(volatility_known(volatility), fraction, 0.0)


def count_results(rows: Rows, index: Index, pnl_usd: Floats) -> None:
    """Adds closed trades to the sums that Kelly's fraction is made of; a result of 0 is neither.

    Where a count is full, counts and sums are halved: older trades weigh less from then on.
    """
    for count, total, amount in (("wins", "won_usd", pnl_usd), ("losses", "lost_usd", -pnl_usd)):
        more = amount > 0
        rows[count][index[more]] += 1
        sums = rows[total][index[more]].astype(np.float64) + amount[more]
        rows[total][index[more]] = sums.astype(np.float32)
        full = index[rows[count][index] == _COUNT_MAX]
        for name in ("wins", "losses"):
            rows[name][full] //= 2
        for name in ("won_usd", "lost_usd"):
            rows[name][full] *= np.float32(0.5)

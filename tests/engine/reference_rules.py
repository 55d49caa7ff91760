"""The rules of one agent's exits, limits and sizes in plain Python, each as a few lines to be read.

Written from the documents (docs/exits.md) and not from the engine: one agent, floats and ints.
"""

import math

from tests.engine.reference_agent import Agent, Flag, Halt, round_price, round_usd, single

STEP = 0.0005
"""Best prices and peaks move by 5 bp or stay."""
DAY_S = 24 * 60 * 60
KELLY_FROM_TRADES = 20
ATR_PPM_MAX = 2**32 - 1
COUNT_MAX = 65_535


# Where a position is closed


def first_stop(agent: Agent) -> float:
    """The stop of the entry: so many ATR away if it is dynamic and the ATR is known, else fixed."""
    if agent.dynamic and agent.entry_atr_ppm:
        return round_price(agent.entry_price * (1.0 - agent.side * risk(agent)))
    if not agent.stop_loss_ppm:
        return 0.0
    return round_price(agent.entry_price * (1.0 - agent.side * agent.stop_loss_ppm / 1e6))


def target(agent: Agent) -> float:
    if agent.dynamic and agent.entry_atr_ppm:
        reward = (agent.reward_risk_centi / 100.0) * risk(agent)
        return round_price(agent.entry_price * (1.0 + agent.side * reward))
    if not agent.take_profit_ppm:
        return 0.0
    return round_price(agent.entry_price * (1.0 + agent.side * agent.take_profit_ppm / 1e6))


def risk(agent: Agent) -> float:
    """The share of the entry that is put at risk."""
    return (agent.atr_multiple_centi / 100.0) * (agent.entry_atr_ppm / 1e6)


def stop(agent: Agent) -> float:
    """The tightest of the stops that there are."""
    tightest = first_stop(agent)
    if agent.trailing_stop_bps:
        share = agent.trailing_stop_bps / 1e4
        trailing = round_price(agent.best_price * (1.0 - agent.side * share))
        tightest = tighter(agent, tightest, trailing)
    if agent.has(Flag.BREAK_EVEN):
        tightest = tighter(agent, tightest, break_even(agent))
    return tightest


def tighter(agent: Agent, one: float, other: float) -> float:
    if agent.side > 0:
        return max(one, other)
    levels = [level for level in (one, other) if level > 0]
    return min(levels) if levels else max(one, other)


def break_even(agent: Agent) -> float:
    """Closed there, a position has cost nothing: fees of both sides and slippage are earned."""
    side, fee, slippage = agent.side, agent.fee_cbps / 1e6, agent.slippage_cbps / 1e6
    paid = agent.entry_price + side * (agent.entry_fee_usd / agent.quantity)
    return round_price(paid / ((1.0 - side * fee) * (1.0 - side * slippage)))


def stop_has_moved(agent: Agent) -> bool:
    """The stop that was hit is another than that of the entry."""
    first = first_stop(agent)
    return first <= 0 or (agent.stop_loss_price - first) * agent.side > 0


# What follows the price while a position stays open


def follow(agent: Agent, price: float) -> bool:
    """Whether anything has moved."""
    moved = False
    if agent.trailing_stop_bps:
        step = round_price(agent.best_price * (1.0 + agent.side * STEP))
        if agent.passed(price, step):
            agent.best_price, moved = price, True
    if agent.break_even_bps and not agent.has(Flag.BREAK_EVEN):
        share = agent.break_even_bps / 1e4
        enough = round_price(agent.entry_price * (1.0 + agent.side * share))
        beyond = (price - break_even(agent)) * agent.side > 0
        if beyond and agent.passed(price, enough):
            agent.flags |= Flag.BREAK_EVEN
            moved = True
    if moved:
        agent.stop_loss_price = stop(agent)
    if agent.max_drawdown_bps:
        session = session_result(agent, price)
        gained = round_usd(session - agent.session_peak_usd)
        if gained > 0 and gained >= round_usd(agent.max_position_usd * STEP):
            agent.session_peak_usd, moved = session, True
    return moved


# What it may lose, and how often it may trade


def session_result(agent: Agent, price: float) -> float:
    """Won and lost since the start, the open position as at `price`."""
    closed = agent.realized_pnl_usd - agent.session_base_usd
    return round_usd(closed + agent.gross(price) - agent.entry_fee_usd)


def session_lost(agent: Agent, result: float) -> bool:
    return 0 < agent.max_session_loss_usd <= -result


def drawn_down(agent: Agent, result: float) -> bool:
    """The fall from the peak, by the equity there."""
    if not agent.max_drawdown_bps:
        return False
    fallen = round_usd(agent.session_peak_usd - result)
    equity = agent.max_position_usd + agent.session_peak_usd
    return fallen > 0 and fallen >= round_usd(equity * (agent.max_drawdown_bps / 1e4))


def timed_out(agent: Agent, slot: int) -> bool:
    return 0 < agent.time_stop_s <= slot - agent.opened_slot and agent.halt != Halt.HALTED


def may_open(agent: Agent, slot: int) -> bool:
    if agent.halt != Halt.ACTIVE or agent.has(Flag.MOVING):
        return False
    if agent.has(Flag.LAST_LOST) and slot - agent.action_slot < agent.cooldown_s:
        return False
    return not agent.max_trades_per_day or opened_today(agent, slot) < agent.max_trades_per_day


def opened_today(agent: Agent, slot: int) -> int:
    same_day = slot // DAY_S == agent.opened_slot // DAY_S
    return agent.trades_that_day if same_day else 0


# How much it puts in


def atr_ppm(fraction: float) -> int:
    """Whole millionths; 0 for none, and for what is too small or too large for a distance."""
    if not math.isfinite(fraction):
        return 0
    ppm = round(fraction * 1e6)
    return ppm if 1 <= ppm <= ATR_PPM_MAX else 0


def notional(agent: Agent, volatility: float) -> float:
    if agent.by_kelly:
        return agent.max_position_usd * kelly(agent)
    if agent.by_volatility:
        fraction = 1.0 if volatility == 0 else min(0.2 / volatility, 1.0)
        return agent.max_position_usd * fraction
    return agent.max_position_usd


def kelly(agent: Agent) -> float:
    """A quarter of Kelly's p - (1 - p) / b, between a twentieth and the whole."""
    trades = agent.wins + agent.losses
    if trades < KELLY_FROM_TRADES:
        return 1.0
    if agent.wins == 0:
        return 0.05
    share = agent.wins / trades
    if agent.losses == 0:
        return min(max(share * 0.25, 0.05), 1.0)
    odds = (agent.won_usd / agent.wins) / (agent.lost_usd / agent.losses)
    return min(max((share - (1.0 - share) / odds) * 0.25, 0.05), 1.0)


def count_result(agent: Agent, pnl: float) -> None:
    if pnl > 0:
        agent.wins, agent.won_usd = agent.wins + 1, single(agent.won_usd + pnl)
    elif pnl < 0:
        agent.losses, agent.lost_usd = agent.losses + 1, single(agent.lost_usd - pnl)
    if COUNT_MAX in (agent.wins, agent.losses):
        agent.wins, agent.losses = agent.wins // 2, agent.losses // 2
        agent.won_usd, agent.lost_usd = agent.won_usd / 2, agent.lost_usd / 2

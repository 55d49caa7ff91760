"""The recomputation finds the engine's trades, over long walks of many different agents."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from bench.compare_trades import compare
from bench.recompute import recompute
from bench.recompute_rules import AgentSettings, Command, Price, Reading, Start, Stop
from engine import commands as engine_commands
from engine.commands import ExitMode, SizingMode, Wanted
from engine.events import Event
from engine.rows import Reason, empty_rows
from engine.tick import SlotInputs, advance

FIRST = 1_730_073_400
"""Some minutes before midnight."""
SLOTS = 400
AGENTS = 60
SYMBOLS = ("BTC/USDT", "DOGE/USDT")


@dataclass
class Recording:
    """What a run leaves behind: inputs as plain data, and the rows of the ledger."""

    agents: list[AgentSettings]
    prices: dict[int, dict[str, Price]] = field(default_factory=dict)
    signals: dict[int, dict[int, float]] = field(default_factory=dict)
    readings: dict[int, dict[int, Reading]] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    ledger: dict[UUID, dict[str, object]] = field(default_factory=dict)


def some_agent(row: int, chance: random.Random) -> AgentSettings:
    limit = chance.choice([None, None, 3.0, 25.0])
    return AgentSettings(
        agent_id=str(UUID(int=row + 1)),
        symbol=SYMBOLS[row % 2],
        plan_id=row % 2,
        start_slot=FIRST,
        threshold=chance.choice([0.2, 0.5, 0.9]),
        interval=chance.choice([1, 1, 1, 2, 5, 60]),
        max_position_usd=chance.choice([100.0, 250.5, 1e6, 33.33]),
        stop_loss_pct=chance.choice([0.05, 0.1, 0.3333, 2.0]),
        take_profit_pct=chance.choice([0.05, 0.1, 0.25, 4.0]),
        leverage=chance.choice([1, 1, 3, 20, 125]),
        fee_bps=chance.choice([10.0, 0.0, 2.5]),
        slippage_bps=chance.choice([1.0, 0.0, 0.25, 20.0]),
        max_session_loss_usd=limit,
        **some_rules(chance),
    )


def some_rules(chance: random.Random) -> dict[str, Any]:
    """Each rule beyond the fixed ones for some of the agents."""
    nothing = [None] * 3
    return {
        "tp_sl_mode": chance.choice(["fixed", "fixed", "dynamic"]),
        "atr_multiple": chance.choice([0.5, 2.0]),
        "reward_risk_ratio": chance.choice([0.75, 2.0]),
        "trailing_stop_pct": chance.choice([*nothing, 0.08, 0.5]),
        "max_drawdown_pct": chance.choice([*nothing, 1.5, 20.0]),
        "break_even_pct": chance.choice([*nothing, 0.05, 0.3]),
        "time_stop_seconds": chance.choice([*nothing, 7, 40]),
        "cooldown_seconds": chance.choice([*nothing, 3, 50]),
        "max_trades_per_day": chance.choice([*nothing, 2, 30]),
        "sizing_mode": chance.choice(["fixed", "fixed", "kelly", "vol_scaling"]),
    }


def sent(agent: AgentSettings, row: int, epoch: int, command: Command) -> engine_commands.Command:
    """The same as a command of the engine."""
    wanted = Wanted.RUNNING
    if isinstance(command, Stop):
        wanted = Wanted.DELETED if command.delete else Wanted.STOPPED
    return engine_commands.Command(
        agent_id=UUID(agent.agent_id).bytes,
        row=row,
        epoch=epoch,
        wanted=wanted,
        close_position=isinstance(command, Stop) and command.close_position,
        plan_id=agent.plan_id,
        interval=agent.interval,
        threshold=agent.threshold,
        max_position_usd=agent.max_position_usd,
        stop_loss_ppm=round(agent.stop_loss_pct * 10_000),
        take_profit_ppm=round(agent.take_profit_pct * 10_000),
        leverage=agent.leverage,
        fee_cbps=round(agent.fee_bps * 100),
        slippage_cbps=round(agent.slippage_bps * 100),
        max_session_loss_usd=agent.max_session_loss_usd or 0.0,
        tp_sl_mode=ExitMode[agent.tp_sl_mode.upper()],
        sizing_mode=SizingMode[agent.sizing_mode.upper()],
        atr_multiple_centi=round(agent.atr_multiple * 100),
        reward_risk_centi=round(agent.reward_risk_ratio * 100),
        trailing_stop_bps=round((agent.trailing_stop_pct or 0) * 100),
        break_even_bps=round((agent.break_even_pct or 0) * 100),
        max_drawdown_bps=round((agent.max_drawdown_pct or 0) * 100),
        max_trades_per_day=agent.max_trades_per_day or 0,
        time_stop_s=agent.time_stop_seconds or 0,
        cooldown_s=agent.cooldown_seconds or 0,
    )


def some_commands(
    agents: Sequence[AgentSettings], slot: int, chance: random.Random
) -> list[Command]:
    """Every agent starts in the first slot; later one is now and then stopped or started."""
    if slot == FIRST:
        return [Start(each.agent_id, slot) for each in agents]
    if chance.random() < 0.8:
        return []
    agent_id = chance.choice(agents).agent_id
    choices: list[Command] = [
        Start(agent_id, slot),
        Start(agent_id, slot),
        Stop(agent_id, slot),
        Stop(agent_id, slot, close_position=False),
        Stop(agent_id, slot, delete=chance.random() < 0.2),
    ]
    return [chance.choice(choices)]


def walked(price: float, digits: int, chance: random.Random) -> float:
    """The next price: mostly a small step, now and then one that liquidates."""
    step = chance.choice([0.0008] * 30 + [0.02])
    return round(price * (1 + chance.gauss(0, step)), digits)


def recorded(seed: int) -> Recording:
    """Runs the engine over a random walk with gaps, stale prices and weak signals."""
    chance = random.Random(seed)
    recording = Recording([some_agent(row, chance) for row in range(AGENTS)])
    row_of = {each.agent_id: row for row, each in enumerate(recording.agents)}
    rows, last, deleted = empty_rows(AGENTS), [96_466.11, 0.12345], set[str]()
    for slot in range(FIRST, FIRST + SLOTS):
        if slot > FIRST and chance.random() < 0.03:
            continue  # not run
        last = [walked(price, digits, chance) for price, digits in zip(last, (2, 5), strict=True)]
        age = chance.choice([0.0] * 20 + [10.0, 11.0])
        signals = [
            chance.choice([float("nan"), 0.0, 0.3, -0.3, 0.6, -0.6, 1.0, -1.0]) for _ in last
        ]
        commands = [
            each
            for each in some_commands(recording.agents, slot, chance)
            if each.agent_id not in deleted
        ]
        deleted |= {each.agent_id for each in commands if isinstance(each, Stop) and each.delete}
        seen = [
            Reading(
                chance.choice([float("nan"), 0.0, *[0.0008, 0.0015, 0.003] * 5]),
                chance.choice([float("nan"), 0.0, 0.15, 0.7, 1.9]),
            )
            for _ in last
        ]
        inputs = SlotInputs(
            slot=slot,
            price=np.array(last),
            fresh=np.full(2, age <= 10.0),
            signal=np.array(signals),
            atr_fraction=np.array([each.atr_fraction for each in seen]),
            volatility=np.array([each.volatility for each in seen]),
            commands=[
                sent(recording.agents[row], row, slot - FIRST + 1, each)
                for each in commands
                for row in [row_of[each.agent_id]]
            ],
        )
        recording.prices[slot] = {
            symbol: Price(price, slot - age) for symbol, price in zip(SYMBOLS, last, strict=True)
        }
        recording.signals[slot] = dict(enumerate(signals))
        recording.readings[slot] = dict(enumerate(seen))
        recording.commands += commands if slot > FIRST else []
        outcome = advance(rows, inputs)
        rows = outcome.rows
        for event in outcome.events:
            write_down(recording, event)
    return recording


def write_down(recording: Recording, event: Event) -> None:
    """What the ledger makes of a fill."""
    if event.kind not in {"opened", "closed"}:
        return
    agent_id = UUID(bytes=event.agent_id)
    trade = UUID(int=agent_id.int << 32 | event.trade_seq)
    closed = event.kind == "closed"
    recording.ledger[trade] = {
        "agent_id": agent_id,
        "side": "long" if event.side > 0 else "short",
        "quantity": event.quantity,
        "leverage": event.leverage,
        "entry_price": event.entry_price,
        "exit_price": event.price if closed else None,
        "fee_usd": event.entry_fee_usd + (event.fee_usd if closed else 0.0),
        "pnl_usd": event.pnl_usd if closed else None,
        "open_reason": Reason(event.open_reason).name.lower(),
        "close_reason": Reason(event.reason).name.lower() if closed else None,
        "opened_at": event.opened_slot,
        "closed_at": event.slot if closed else None,
    }


@pytest.mark.parametrize("seed", range(3))
def test_the_same_trades_are_found_from_the_recorded_inputs(seed: int) -> None:
    recording = recorded(seed)
    inputs = recording.prices, recording.signals, recording.commands, recording.readings
    expected = recompute(recording.agents, *inputs)
    assert compare(expected, recording.ledger.values()) == []
    reasons = {each.close_reason for each in expected}
    assert reasons >= {
        "take_profit",
        "stop_loss",
        "signal",
        "session_loss",
        "trailing_stop",
        "drawdown",
        "time_stop",
        "stopped",
        "liquidation",
        None,
    }
    assert len(expected) > 800

"""`python -m tests.golden.record`: writes the journal anew. Only where the engine's rules change on
purpose: then look at the difference line by line, and say in the commit why each is right.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from engine.commands import Command, ExitMode, SizingMode, Wanted
from engine.rows import Halt, empty_rows
from engine.tick import SlotInputs, advance
from tests.golden.journal import JOURNAL, ROWS, written

FIRST = 1_730_073_450
"""Two and a half minutes before midnight."""
SLOTS = 400
PLANS = 4
SEED = 20_241_028
NAN = float("nan")


def settings(row: int, chance: random.Random) -> dict[str, Any]:
    """A different agent in each row; the first eight use what schema 1 has, and no more."""
    plain: dict[str, Any] = {
        "plan_id": row % PLANS,
        "interval": chance.choice([1, 1, 1, 2, 5]),
        "threshold": chance.choice([0.2, 0.5]),
        "max_position_usd": chance.choice([100.0, 250.5, 12_345.67]),
        "stop_loss_ppm": chance.choice([500, 1000, 3333, 20_000]),
        "take_profit_ppm": chance.choice([500, 1000, 2500, 40_000]),
        "leverage": chance.choice([1, 1, 3, 125]),
        "fee_cbps": chance.choice([1000, 0, 250]),
        "slippage_cbps": chance.choice([100, 0, 25]),
        "max_session_loss_usd": chance.choice([0.0, 0.0, 5.0]),
    }
    if row < 8:
        return plain
    dynamic = row % 3 == 0
    return plain | {
        "tp_sl_mode": ExitMode.DYNAMIC if dynamic else ExitMode.FIXED,
        "atr_multiple_centi": 100 if dynamic else 0,
        "reward_risk_centi": 150 if dynamic else 0,
        "sizing_mode": chance.choice(list(SizingMode)),
        "trailing_stop_bps": chance.choice([0, 5, 12]),
        "break_even_bps": chance.choice([0, 0, 15]),
        "max_drawdown_bps": chance.choice([0, 0, 150]),
        "max_trades_per_day": chance.choice([0, 0, 3]),
        "time_stop_s": chance.choice([0, 9, 30]),
        "cooldown_s": chance.choice([0, 0, 10]),
    }


def commands(slot: int, chance: random.Random, epochs: list[int]) -> Iterator[Command]:
    """All start in the first slot; later one is now and then edited, stopped, halted, deleted."""
    rows = range(ROWS) if slot == FIRST else [chance.randrange(ROWS)]
    if slot > FIRST and chance.random() < 0.7:
        return
    for row in rows:
        epochs[row] += 1
        wishes = [Wanted.RUNNING] * 5 + [Wanted.STOPPED] * 2 + [Wanted.DELETED]
        wanted = Wanted.RUNNING if slot == FIRST else chance.choice(wishes)
        own = settings(row, random.Random(SEED + row))
        if slot > FIRST and chance.random() < 0.3:
            own |= {"halt": chance.choice(list(Halt)), "stop_loss_ppm": 700}
        if slot > FIRST and chance.random() < 0.2:
            own["plan_id"] = chance.randrange(PLANS)
        yield Command(
            agent_id=bytes([row + 1]) * 16,
            row=row,
            epoch=epochs[row],
            wanted=wanted,
            close_position=chance.random() < 0.7,
            **own,
        )


def main() -> None:
    chance, epochs = random.Random(SEED), [0] * ROWS
    rows, prices, lines = empty_rows(ROWS), [96_466.11, 0.12345, 3_301.5, 178.25], []
    for slot in range(FIRST, FIRST + SLOTS):
        if chance.random() < 0.02:
            continue  # not run
        for plan, digits in enumerate((2, 5, 2, 3)):
            step = chance.choice([0.0006] * 40 + [0.012])
            prices[plan] = round(prices[plan] * (1 + chance.gauss(0, step)), digits)
        signals = [0.0, 0.3, -0.3, 0.7, -0.7, 1.0, -1.0, NAN, NAN]
        inputs = SlotInputs(
            slot=slot,
            price=np.array(prices),
            fresh=np.array([chance.random() > 0.02 for _ in prices]),
            signal=np.array([chance.choice(signals) for _ in prices]),
            failed={1: "breakout failed: ZeroDivisionError"} if chance.random() < 0.02 else {},
            commands=list(commands(slot, chance, epochs)),
            entries=slot % 100 > 4,
            atr_fraction=np.array([chance.choice([NAN, 0.0008, 0.002, 0.002]) for _ in prices]),
            volatility=np.array([chance.choice([NAN, 0.1, 0.4, 0.4, 1.5]) for _ in prices]),
            cannot_run={2: "needs 50 bars, has 12"} if slot % 60 > 55 else {},
            symbol=np.array([0, 1, 2, 0]),
        )
        outcome = advance(rows, inputs)
        rows = outcome.rows
        lines.append(written(inputs, outcome))
    JOURNAL.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

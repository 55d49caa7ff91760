"""What one slot of a full shard costs: python -m bench.engine_tick

Best of many runs, since other work on the machine only adds to it. Fails if a slot in which nothing
happens costs more than IDLE_US_MAX.
"""

import sys
import timeit
from collections.abc import Callable
from functools import partial

import numpy as np

from engine.rows import ROWS_PER_SHARD, RowRule, Rows, RowStatus, empty_rows
from engine.schedule import next_due
from engine.tick import SlotInputs, advance

PLANS = 1000
SLOT = 1_000_000
IDLE_US_MAX = 300.0
LIMITS_US_MAX = 500.0
"""With marks to look at in every row."""
ALL_MARKS = RowRule.TRAILING | RowRule.BREAK_EVEN | RowRule.DRAWDOWN | RowRule.TIME_STOP


def seen(slot: int = SLOT, price: float = 100.0, signal: float = 0.1) -> SlotInputs:
    return SlotInputs(slot, np.full(PLANS, price), np.full(PLANS, True), np.full(PLANS, signal))


def shard(
    open_share: float = 0.0, interval: int = 1, max_session_loss_usd: float = 0.0, marks: int = 0
) -> Rows:
    """Running agents on all plans, some with a position at 100; marks: rules that keep them."""
    rows = empty_rows(ROWS_PER_SHARD)
    rows["status"], rows["interval"] = RowStatus.RUNNING, interval
    rows["plan_id"] = np.arange(ROWS_PER_SHARD) * 7919 % PLANS
    rows["threshold"], rows["max_position_usd"], rows["leverage"] = 0.5, 1000.0, 3
    rows["stop_loss_ppm"], rows["take_profit_ppm"], rows["fee_cbps"] = 20_000, 40_000, 1000
    rows["max_session_loss_usd"] = max_session_loss_usd
    rows["rules"] = marks | (RowRule.SESSION_LOSS if max_session_loss_usd else 0)
    rows["trailing_stop_bps"], rows["max_drawdown_bps"] = 500, 2000
    rows["break_even_bps"], rows["time_stop_s"] = 300, 3600
    opening = seen(signal=1.0)
    opening.signal[: int(PLANS * (1 - open_share))] = 0.0
    return advance(rows, opening).rows


def best_us(run: Callable[[], object], repeat: int) -> float:
    return min(timeit.repeat(run, number=1, repeat=repeat)) * 1e6


def main() -> int:
    later = SLOT + 1
    idle: dict[str, tuple[Rows, SlotInputs]] = {
        "flat": (shard(), seen(later)),
        "10 % open": (shard(0.1), seen(later)),
        "all open": (shard(1.0), seen(later)),
        "all open, session limits": (shard(1.0, 1, 50.0), seen(later)),
        "all open, trailing": (shard(1.0, marks=RowRule.TRAILING), seen(later)),
        "all open, trailing and drawdown": (
            shard(1.0, marks=RowRule.TRAILING | RowRule.DRAWDOWN),
            seen(later),
        ),
        "all open, all limits": (shard(1.0, 1, 50.0, ALL_MARKS), seen(later)),
        "interval 60, due": (shard(0.0, 60), seen(SLOT + 20)),
        "interval 60, none due": (shard(0.0, 60), seen(later)),
    }
    slow = []
    for name, (rows, inputs) in idle.items():
        assert advance(rows, inputs).rows is rows, f"something happens in {name}"
        cost = best_us(partial(advance, rows, inputs), 2000)
        most = LIMITS_US_MAX if (rows["rules"] & ALL_MARKS).any() else IDLE_US_MAX
        if cost > most:
            slow.append(f"too slow: {name} takes {cost:.0f} us, at most {most:.0f}")
        print(f"{name:32} {cost:10.0f} us")
    flat, full = shard(), shard(1.0)
    busy: dict[str, Callable[[], object]] = {
        "every row opens": partial(advance, flat, seen(later, signal=1.0)),
        "every row is stopped out": partial(advance, full, seen(later, price=97.0)),
        "every trailing stop moves": partial(
            advance, shard(1.0, marks=RowRule.TRAILING), seen(later, price=101.0)
        ),
        "next_due": partial(next_due, flat, later),
    }
    for name, run in busy.items():
        print(f"{name:32} {best_us(run, 50):10.0f} us")
    print("\n".join(slow), end="\n" if slow else "")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())

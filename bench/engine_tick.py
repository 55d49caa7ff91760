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


def seen(slot: int = SLOT, price: float = 100.0, signal: float = 0.1) -> SlotInputs:
    return SlotInputs(slot, np.full(PLANS, price), np.full(PLANS, True), np.full(PLANS, signal))


def shard(open_share: float = 0.0, interval: int = 1, max_session_loss_usd: float = 0.0) -> Rows:
    """Running agents on all plans, some with a position at 100."""
    rows = empty_rows(ROWS_PER_SHARD)
    rows["status"], rows["interval"] = RowStatus.RUNNING, interval
    rows["plan_id"] = np.arange(ROWS_PER_SHARD) * 7919 % PLANS
    rows["threshold"], rows["max_position_usd"], rows["leverage"] = 0.5, 1000.0, 3
    rows["stop_loss_ppm"], rows["take_profit_ppm"], rows["fee_cbps"] = 20_000, 40_000, 1000
    rows["max_session_loss_usd"] = max_session_loss_usd
    rows["rules"] = RowRule.SESSION_LOSS if max_session_loss_usd else 0
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
        "interval 60, due": (shard(0.0, 60), seen(SLOT + 20)),
        "interval 60, none due": (shard(0.0, 60), seen(later)),
    }
    slowest = 0.0
    for name, (rows, inputs) in idle.items():
        assert advance(rows, inputs).rows is rows, f"something happens in {name}"
        cost = best_us(partial(advance, rows, inputs), 2000)
        slowest = max(slowest, cost)
        print(f"{name:32} {cost:10.0f} us")
    flat, full = shard(), shard(1.0)
    busy: dict[str, Callable[[], object]] = {
        "every row opens": partial(advance, flat, seen(later, signal=1.0)),
        "every row is stopped out": partial(advance, full, seen(later, price=97.0)),
        "next_due": partial(next_due, flat, later),
    }
    for name, run in busy.items():
        print(f"{name:32} {best_us(run, 50):10.0f} us")
    if slowest > IDLE_US_MAX:
        print(f"too slow: {slowest:.0f} us where nothing happens, at most {IDLE_US_MAX:.0f}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

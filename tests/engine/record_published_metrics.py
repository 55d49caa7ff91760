"""Records what a published library says of some daily results: `make metrics-reference`.

empyrical-reloaded brings pandas and scipy, 340 MB, and pandas alone doubles what a worker with
TA-Lib takes. So it runs in an environment of its own, and the tests compare with what it said.
With --check it says so if the library would say something else today.
"""

import argparse
import json
import math
import random
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import empyrical
import numpy as np

RECORD = Path(__file__).with_name("published_metrics.json")
DAYS_A_YEAR = 365


def some_days(seed: int) -> tuple[float, list[float]]:
    """(capital, P&L of each day): good and bad months, with days on which nothing was closed."""
    drawn = random.Random(seed)
    capital = drawn.choice([50.0, 100.0, 2500.0])
    drift, size = drawn.uniform(-0.004, 0.005), drawn.choice([0.002, 0.01, 0.03])
    days = [
        0.0 if drawn.random() < 0.2 else round(capital * drawn.gauss(drift, size), 8)
        for _ in range(drawn.choice([3, 10, 30, 90, 400]))
    ]
    return capital, days


def said_of(capital: float, days: list[float]) -> dict[str, float | None]:
    """Ratios of returns on the capital; growth and falls of the capital with what it has won."""
    pnl = np.array(days)
    equity = capital + np.concatenate([[0.0], np.cumsum(pnl)])
    on_capital, on_equity = pnl / capital, pnl / equity[:-1]
    a_year = {"annualization": DAYS_A_YEAR}
    with np.errstate(invalid="ignore"):  # growth of a capital that is gone
        said = {
            "sharpe": empyrical.sharpe_ratio(on_capital, **a_year),
            "sortino": empyrical.sortino_ratio(on_capital, **a_year),
            "calmar": empyrical.calmar_ratio(on_equity, **a_year),
            "max_drawdown": empyrical.max_drawdown(on_equity),
        }
    return {name: float(each) if math.isfinite(each) else None for name, each in said.items()}


def recorded() -> dict[str, Any]:
    cases = []
    for seed in range(24):
        capital, days = some_days(seed)
        cases.append({"capital_usd": capital, "days": days, **said_of(capital, days)})
    return {"library": f"empyrical-reloaded {version('empyrical-reloaded')}", "cases": cases}


def _same(was: float | None, said: float | None) -> bool:
    if was is None or said is None:
        return was is said
    return math.isclose(was, said, rel_tol=1e-12)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    now = recorded()
    if not options.check:
        lines = ",\n".join(json.dumps(case) for case in now["cases"])
        RECORD.write_text(f'{{"library": "{now["library"]}", "cases": [\n{lines}\n]}}\n')
        return 0
    before = json.loads(RECORD.read_text())
    different = [
        (number, name, was[name], said[name])
        for number, (was, said) in enumerate(zip(before["cases"], now["cases"], strict=True))
        for name in ("sharpe", "sortino", "calmar", "max_drawdown")
        if not _same(was[name], said[name])
    ]
    for number, name, was, is_now in different:
        print(f"case {number}: {name} was {was}, is {is_now}", file=sys.stderr)
    print(f"{len(now['cases'])} cases, {now['library']}: {len(different)} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())

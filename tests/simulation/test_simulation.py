"""Storms over a whole fleet: the same frames, signals and commands, the same trades.

A seed that fails is run again with fewer and fewer steps; what is printed is what is needed.
"""

import pytest

from tests.simulation.real_side import RealSide
from tests.simulation.regressions import REGRESSIONS
from tests.simulation.run import run, shrunk
from tests.simulation.schedule import Schedule, draw

SEEDS = 500
AT_ONCE = 5


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_no_storm_changes_a_trade(side: RealSide, first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        outcome = run(draw(seed), side)
        assert not outcome.violation, str(shrunk(outcome, side))


@pytest.mark.parametrize("schedule", REGRESSIONS.values(), ids=list(REGRESSIONS))
def test_what_was_mended_stays_so(side: RealSide, schedule: Schedule) -> None:
    assert not run(schedule, side).violation


def test_the_same_seed_is_the_same_run(side: RealSide) -> None:
    one, other = run(draw(3), side), run(draw(3), side)
    assert one.fingerprint == other.fingerprint
    assert one.counts == other.counts
    assert one.counts["fills"] > 0

"""Cases that chance seldom meets, played by engine and reference side by side.

One agent without costs: ten pieces at 100 USD, opened long in slot 1; leverage 2.
"""

import math
from dataclasses import replace

import pytest

from engine.commands import Wanted
from engine.rows import Reason
from tests.engine.scenarios import (
    PLANS,
    ROWS,
    Configuration,
    Gap,
    Quote,
    Scenario,
    Seeing,
    Step,
    Wish,
)
from tests.engine.side_by_side import SideBySide

START = Wish(0, Wanted.RUNNING, 1, True, True, 0, 1)
AGAIN = replace(START, newcomer=False)
CLOSE = replace(AGAIN, wanted=Wanted.STOPPED)
KEEP = replace(CLOSE, close_position=False)
DELETE = replace(AGAIN, wanted=Wanted.DELETED)


def slot(*wishes: Wish, move: float = 1.0, fresh: bool = True, signal: float = math.nan) -> Step:
    return Step(Gap(), wishes, (Quote(move, Seeing(fresh), signal),) * PLANS, None)


def said_after_opening(*steps: Step, stop_loss_ppm: int = 0, limit: float = 0.0) -> list[str]:
    configuration = Configuration(0, 1, 0.5, 1000.0, stop_loss_ppm, 0, 2, 0, 0, limit)
    scenario = Scenario(
        first_slot=1,
        first_prices=(100.0,) * PLANS,
        configurations=(configuration,) * ROWS,
        steps=(slot(START, signal=1.0), *steps),
    )
    both = SideBySide(scenario)
    both.play()
    later = [each for each in both.events if each.slot > 1]
    return [f"{each.kind} {Reason(each.reason).name}" for each in later]


@pytest.mark.parametrize(
    ("stop_loss_ppm", "move", "said"),
    [
        (0, 0.99, ["closed SESSION_LOSS", "stopped SESSION_LOSS"]),
        (0, 0.99000001, []),
        (10_000, 0.99, ["closed STOP_LOSS", "stopped SESSION_LOSS"]),
        (9_000, 0.991, ["closed STOP_LOSS"]),
        (0, 0.5, ["closed LIQUIDATION", "stopped SESSION_LOSS"]),
    ],
)
def test_a_session_is_over_at_its_limit_and_not_before(
    stop_loss_ppm: int, move: float, said: list[str]
) -> None:
    steps = slot(move=move)
    assert said_after_opening(steps, stop_loss_ppm=stop_loss_ppm, limit=10.0) == said


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (CLOSE, KEEP, ["stopped BY_USER"]),
        (KEEP, CLOSE, ["stopped BY_USER", "closed STOPPED"]),
        (CLOSE, AGAIN, ["started NONE"]),
        (CLOSE, DELETE, ["stopped DELETED", "closed DELETED", "deleted DELETED"]),
        (DELETE, AGAIN, ["stopped DELETED", "closed DELETED", "deleted DELETED"]),
        (DELETE, KEEP, ["stopped DELETED", "closed DELETED", "deleted DELETED"]),
    ],
)
def test_the_last_word_on_a_position_counts_but_a_deletion_stays(
    first: Wish, then: Wish, said: list[str]
) -> None:
    """The first is asked while the price is stale, so that nothing is closed in between."""
    while_stale = said_after_opening(slot(first, fresh=False), slot(then))
    first_said = "stopped DELETED" if first is DELETE else "stopped BY_USER"
    assert while_stale[0] == first_said
    spoken = [each for each in while_stale[1:] if each not in {"stale NONE", "fresh NONE"}]
    assert spoken == said


def test_a_start_in_the_slot_of_a_stop_goes_on_with_the_position() -> None:
    assert said_after_opening(slot(CLOSE, AGAIN)) == ["stopped BY_USER", "started NONE"]


def test_a_kept_position_is_not_watched_until_the_next_start() -> None:
    steps = (slot(KEEP, move=0.4), slot(), slot(AGAIN))
    assert said_after_opening(*steps) == ["stopped BY_USER", "started NONE", "closed LIQUIDATION"]

"""Which candles are to be fetched next, and from whom; pure.

First what somebody waits for and what an agent has never had; the most wanted before the others,
the longest waiting before the later. Then what has to be refreshed for agents by and by. An owner
counts once, however many agents he has, so that a large one does not hold up a small one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from adapters.candle_store import Asked
from adapters.candles import CANDLES_FRESH_S, WindowName
from engine.frames import TIMEFRAMES, Floats

REFRESH_BARS: Final = 30
"""After so many bars built from prices the true ones are fetched."""
BACKGROUND_S: Final = 30.0
"""Nothing is refreshed for agents more often."""
ASKS_COUNTED: Final = 5
"""Of the calls that ask for the same candles: they do not say how many people make them."""
DAY_RESERVE: Final = 200
"""Requests of a day that are left for those who ask."""


@dataclass(frozen=True, slots=True)
class Use:
    """Owners whose agents look at a window, and whether a strategy of theirs needs volumes."""

    owners: int
    needs_volume: bool


@dataclass(frozen=True, slots=True)
class WindowSight:
    """When the closed bars that agents see now began, oldest first."""

    times: Floats


@dataclass(frozen=True, slots=True)
class Errand:
    """Candles to be fetched. urgent: somebody waits, or an agent has none at all; fetched_at: when
    they were fetched last, Unix seconds, 0 for never.
    """

    name: WindowName
    urgent: bool
    wants_volume: bool
    fetched_at: float


def errands(
    asked: Sequence[Asked],
    uses: Mapping[WindowName, Use],
    sights: Mapping[WindowName, WindowSight],
    fetched_at: Mapping[WindowName, float],
    now: float,
) -> list[Errand]:
    """What is to be fetched, in this order. now: Unix seconds."""
    ranked: list[tuple[tuple[bool, int, float], Errand]] = []
    waiting = {each.name: each for each in asked}
    for name in {*waiting, *uses}:
        use, ask, fetched = uses.get(name), waiting.get(name), fetched_at.get(name)
        is_asked = ask is not None and (fetched is None or now - fetched > CANDLES_FRESH_S)
        is_new = use is not None and fetched is None
        is_due = use is not None and _is_due(name, use, sights.get(name), fetched, now)
        if not (is_asked or is_new or is_due):
            continue
        wanted_by = (use.owners if use else 0) + min(ask.times if ask else 0, ASKS_COUNTED)
        since = ask.since if ask is not None else (fetched or 0.0)
        needs_volume = use is not None and use.needs_volume
        errand = Errand(name, is_asked or is_new, needs_volume, fetched or 0.0)
        ranked.append(((not errand.urgent, -wanted_by, since), errand))
    return [errand for _, errand in sorted(ranked, key=lambda each: (each[0], each[1].name))]


def _is_due(
    name: WindowName,
    use: Use,
    sight: WindowSight | None,
    fetched: float | None,
    now: float,
) -> bool:
    """Whether the candles of agents have to be fetched again: too many built ones, a gap that has
    not been asked for since, or volumes.
    """
    seconds = TIMEFRAMES[name[1]]
    if fetched is None or sight is None or not len(sight.times) or now - fetched < BACKGROUND_S:
        return False
    newest_end = float(sight.times[-1]) + seconds
    if newest_end - fetched >= REFRESH_BARS * seconds:
        return True
    gap_end = newest_gap(sight.times, seconds)
    if gap_end is not None and fetched < gap_end + seconds:
        return True
    # Volumes are not streamed: those of the bar that closed last, and of the one that is forming,
    # are as old as the last fetch.
    return use.needs_volume


def newest_gap(times: Floats, seconds: float) -> float | None:
    """When the bar after the newest gap begins, None where bars follow one another."""
    after = np.flatnonzero(np.diff(times) > seconds)
    return float(times[after[-1] + 1]) if len(after) else None

"""What a slot has measured for a row's plan, and what is said where something is missing.

An agent that needs a reading for its stop or its size opens nothing without it: a risk that cannot
be worked out is not taken. It says so once, as it does when its strategy cannot run.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.draft import Draft
from engine.rows import Floats, Index, Mask, RowFlag, RowRule
from engine.sizing import volatility_known

NEEDS_READING: Final = int(RowRule.DYNAMIC | RowRule.VOLATILITY)
NO_ATR: Final = "the ATR is not known: no entry with a dynamic stop"
NO_VOLATILITY: Final = "the volatility is not known: no entry of a size that is scaled by it"
WORDS_MAX: Final = 500

_SAID: Final = int(RowFlag.CANNOT_RUN_SAID)
_DYNAMIC: Final = int(RowRule.DYNAMIC)
_VOLATILITY: Final = int(RowRule.VOLATILITY)
_PPM: Final = 1e6
_U4_MAX: Final = 2**32 - 1

Numbers = npt.NDArray[np.integer]


def of_plans(values: Floats | None, plan: Numbers) -> Floats:
    """The reading of each plan; NaN where there is none."""
    if values is None:
        return np.full(len(plan), np.nan)
    known = plan < len(values)
    return np.where(known, values[np.where(known, plan, 0)] if len(values) else np.nan, np.nan)


def atr_ppm(fraction: Floats) -> Floats:
    """Parts per million of the price; 0 for what is not known, or too small to be a distance."""
    ppm = np.rint(fraction * _PPM)
    return np.where((ppm >= 1) & (ppm <= _U4_MAX), ppm, 0.0)


def lacks_reading(rules: Numbers, atr: Floats, volatility: Floats) -> tuple[Mask, Mask]:
    """(rows whose ATR is not known, rows whose volatility is not), of those that need it."""
    no_atr = ((rules & _DYNAMIC) != 0) & (atr_ppm(atr) == 0)
    return no_atr, ((rules & _VOLATILITY) != 0) & ~volatility_known(volatility)


def say_readiness(
    draft: Draft,
    due: Index,
    readings: tuple[Floats | None, Floats | None],
    cannot_run: Mapping[int, str],
) -> None:
    """Due rows say once that they cannot run, in the strategy's words or ours, and once that they
    can again. `readings`: ATR and volatility by plan.
    """
    rows = draft.rows
    plan, rules = rows["plan_id"][due], rows["rules"][due]
    said = (rows["flags"][due] & _SAID) != 0
    no_atr, no_volatility = lacks_reading(rules, *(of_plans(each, plan) for each in readings))
    unready = np.isin(plan, list(cannot_run)) | no_atr | no_volatility
    turned = unready != said
    if not turned.any():
        return
    words = [
        cannot_run.get(number, NO_ATR if lacks_atr else NO_VOLATILITY)[:WORDS_MAX]
        for number, lacks_atr in zip(plan.tolist(), no_atr.tolist(), strict=True)
    ]
    draft.own()["flags"][due[turned]] ^= np.uint8(_SAID)
    now = np.flatnonzero(turned & unready)
    draft.say("cannot_run", due[now], texts=[words[i] for i in now.tolist()])
    draft.say("can_run", due[turned & ~unready])

"""The bits in which signals and readings of a slot are kept, and what they mean. Pure.

Eight bytes a place, so that tables of ten minutes stay small: a float64, with three bit patterns
that arithmetic never makes standing for what is no number.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.frames import Floats, Ints, Mask

_CANNOT_RUN: Final = np.int64(0x7FF8_0000_0000_0001)
"""A NaN of its own. A float64 is never seen as such below: only bits are stored and compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Signals:
    """Signals of some plans. value f8: 0.0 where the strategy cannot run on its candles, NaN where
    it failed. cannot_run: where it could not.
    """

    value: Floats
    cannot_run: Mask


@dataclass(frozen=True, slots=True, eq=False)
class SlotSignals:
    """Signals by plan id: values f8[P], NaN where there is none; known[P] where that is settled;
    cannot_run[P] where the strategy cannot run on its candles (the value is 0.0 then).
    """

    values: Floats
    known: Mask
    cannot_run: Mask

    def of(self, plan_ids: Ints) -> "SlotSignals":
        """Those of some plans, in their order; plans beyond the end are not known."""
        size = len(self.known)
        inside = plan_ids < size
        place = np.where(inside, plan_ids, 0)
        if not size:
            nothing = np.zeros(len(plan_ids), np.bool_)
            return SlotSignals(np.full(len(plan_ids), np.nan), nothing, nothing)
        known = self.known[place] & inside
        values = np.where(known, self.values[place], np.nan)
        return SlotSignals(values, known, self.cannot_run[place] & inside)


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What stands after an offer, in its order. ours: nobody had been there before."""

    signals: Signals
    atr_fraction: Floats
    ours: bool


def signal_bits(signals: Signals) -> Ints:
    """As they are stored; no pattern is all zero, which stands for "not known"."""
    bits = reading_bits(signals.value)
    bits[signals.cannot_run] = _CANNOT_RUN
    return bits


def read_signals(bits: Ints) -> SlotSignals:
    """The inverse of `signal_bits`, and of a table with gaps."""
    values, known = read_readings(bits)
    cannot_run = bits == _CANNOT_RUN
    values[cannot_run] = 0.0
    return SlotSignals(values, known, cannot_run)


def reading_bits(values: Floats) -> Ints:
    """Numbers or NaN, as they are stored."""
    # +0.0 would look like "not known": zero is kept as -0.0 and read back as 0.0.
    kept = np.where(values == 0, -0.0, values)
    kept[np.isnan(kept)] = np.nan
    return kept.view(np.int64)


def read_readings(bits: Ints) -> tuple[Floats, Mask]:
    """Numbers, NaN where there is none; and where that is settled."""
    known = bits != 0
    values = np.where(known, bits.view(np.float64), np.nan)
    values[values == 0] = 0.0
    return values, known


def decode_signals(data: bytes) -> SlotSignals:
    """The signals of a slot as they lie in Redis and in the archive."""
    return read_signals(np.frombuffer(data, "<i8").astype(np.int64))


def decode_readings(data: bytes) -> tuple[Floats, Mask]:
    """The readings of a slot's windows, and which are settled; see `read_readings`."""
    return read_readings(np.frombuffer(data, "<i8").astype(np.int64))

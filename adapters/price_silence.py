"""Which symbols of a stream have fallen silent although the others go on; pure.

A subscription may be lost without a word, and a market may be quiet: from here both look the same.
So the first silence is believed to be a loss soon; each time that asking anew did not help for
long, a symbol is given twice as much time, up to a quarter of an hour, until it was heard steadily.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SYMBOL_SILENCE_S: Final = 30.0
SYMBOL_SILENCE_MAX_S: Final = 960.0
STEADY_S: Final = 600.0
"""Heard for so long without a silence, a symbol is watched as closely as at first."""


@dataclass(slots=True)
class _Heard:
    """One symbol. Times are seconds of one clock."""

    at: float
    patience_s: float
    steady_since: float


class SilenceWatch:
    """The symbols of one stream. now: seconds of any clock that does not jump."""

    def __init__(self) -> None:
        self._symbols: dict[str, _Heard] = {}

    def follow(self, symbols: Sequence[str], now: float) -> None:
        """These are subscribed to from now on; those that were before are watched as before."""
        before = self._symbols
        self._symbols = {s: before.get(s) or _Heard(now, SYMBOL_SILENCE_S, now) for s in symbols}

    def connected(self, now: float) -> None:
        """All were subscribed to anew."""
        for heard in self._symbols.values():
            heard.at = now

    def heard(self, symbol: str, now: float) -> None:
        """A price has come."""
        heard = self._symbols.get(symbol)
        if heard is None:
            return
        if now - heard.at >= SYMBOL_SILENCE_S:
            heard.steady_since = now
        elif now - heard.steady_since >= STEADY_S:
            heard.patience_s = SYMBOL_SILENCE_S
        heard.at = now

    def next_at(self) -> float | None:
        """When the next symbol will have been silent for too long."""
        return min((h.at + h.patience_s for h in self._symbols.values()), default=None)

    def lost(self, now: float) -> list[str]:
        """Those that have been by now. Whoever asks begins anew: next time they have longer."""
        lost = []
        for symbol, heard in self._symbols.items():
            if now - heard.at >= heard.patience_s:
                lost.append(symbol)
                heard.patience_s = min(heard.patience_s * 2, SYMBOL_SILENCE_MAX_S)
                heard.at = heard.steady_since = now
        return lost

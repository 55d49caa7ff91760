"""The port of price sources, and the one place that turns ARTIC_PRICE_SOURCE into one.

A source here is a function: what slot S saw follows from S, the frame before and the anchor, so
that any process can compute it, also later. A live source (a stream into a table in Redis) joins at
the same seam: what its table says becomes Pieces, and everything behind Pieces stays as it is.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.errors import AdapterError
from engine.frames import WINDOW_BARS, Floats, Frame, Pieces

RELAY_AFTER_S = 3600.0
"""Candle time without frames after which windows are laid anew instead of carried on."""
RESUME_AFTER_S = 10
"""Slots without a frame after which a recording goes on where it was, as after a restart."""
SPEED_MAX = 86_400.0


class PriceSourceError(AdapterError):
    """A price source that does not exist, or a recording that can't be played."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Ties slots to a place in a source: after slot `slot` it stood at `seconds`, and from there it
    advances `speed` seconds a slot. `source` is the identity of what was anchored.
    """

    source: str
    slot: int
    seconds: float
    speed: float

    @property
    def position(self) -> dict[str, float]:
        """The place as it is stored next to source and slot."""
        return {"seconds": self.seconds, "speed": self.speed}

    @classmethod
    def at(cls, source: str, slot: int, position: Mapping[str, float]) -> "Anchor":
        """The inverse of `position`."""
        return cls(source, slot, float(position["seconds"]), float(position["speed"]))

    def seconds_at(self, slot: int) -> float:
        """Where the source stands after a slot; it stood still before the anchor's own."""
        return self.seconds + max(0, slot - self.slot) * self.speed


class PriceSource(Protocol):
    """Where prices come from. Deterministic; once it is open it does no I/O."""

    @property
    def name(self) -> str:
        """`replay` or `simulated`: what frames and answers call the source."""

    @property
    def identity(self) -> str:
        """Tells it from others of its name; frames of another one are not carried on."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol it has, in the order of its frames."""

    @property
    def keeps_place(self) -> bool:
        """Whether its anchor is worth keeping elsewhere, too (a recording's place)."""

    def anchor(self, known: Anchor | None, last_slot: int, slot: int, *, resumed: bool) -> Anchor:
        """The anchor for slot `slot`, given the one of slot `last_slot` (the newest frame) or None.

        resumed: Redis was started anew since.
        """

    def pieces(self, before: Frame | None, slot: int, anchor: Anchor) -> Pieces:
        """What slot `slot` saw since the frame before it."""

    def history(
        self, symbol: str, timeframe: str, before_time: float, bars: int = WINDOW_BARS
    ) -> Floats:
        """The newest closed bars that ended at or before `before_time`: f8[N, 6], N <= bars.

        Raises:
            KeyError: no such symbol or timeframe.
        """


def open_source(spec: str) -> PriceSource:
    """The source that a setting names: `simulated`, `simulated:SEED`, `auto` (simulated until there
    are live ones) or `replay:PATH[@SPEED][,PATH...]`.

    Raises:
        PriceSourceError: there is no such source, or its files can't be played. Says why.
    """
    # Here, because implementations import the port from this module.
    from adapters.price_replay import open_replay
    from adapters.price_simulated import SimulatedPrices

    kind, _, rest = spec.strip().partition(":")
    if kind == "replay":
        paths, speed = _recordings(rest)
        return open_replay(paths, speed)
    if kind == "simulated" and (seed := re.fullmatch(r"\d{1,18}|", rest)):
        return SimulatedPrices(int(seed[0] or 0))
    if spec.strip() == "auto":
        return SimulatedPrices()
    raise PriceSourceError(
        f"unknown price source {spec!r}; use auto, pyth, exchange, simulated, simulated:SEED or"
        " replay:FILE[@SPEED]"
    )


def _recordings(text: str) -> tuple[list[Path], float]:
    """Files and the one speed of `PATH[@SPEED][,PATH...]`."""
    paths: list[Path] = []
    speeds: set[float] = set()
    for part in text.split(","):
        path, at, tail = part.strip().rpartition("@")
        if not at or "/" in tail or tail.lower().endswith(".csv"):
            path = part.strip()  # the @ belongs to a folder or file
        else:
            speeds.add(_speed(tail, part))
        if not path:
            raise PriceSourceError(f"replay needs a file: replay:FILE[@SPEED], got {text!r}")
        paths.append(Path(path).expanduser())
    if len(speeds) > 1:
        raise PriceSourceError(f"recordings are replayed at one speed, got {text!r}")
    return paths, speeds.pop() if speeds else 1.0


def _speed(text: str, part: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= SPEED_MAX:
        raise PriceSourceError(
            f"the speed behind @ must be a number above 0, at most {SPEED_MAX:g}: {part!r}"
        )
    return speed

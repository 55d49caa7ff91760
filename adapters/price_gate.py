"""What is no price never gets into the live table. Pure: the caller says what time it is.

Dropped and counted: what is not a finite number above zero, what is older than the price we have,
what claims to be from the future, and what jumps by more than a fraction in one update. A jump
that is true must not be dropped for ever: the new level is taken once further updates, published
over a few seconds, agree with it. Until then the old price stays, turns stale by its publish time
and so trades nothing.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Refusal = Literal["not_a_price", "jump", "late", "future"]

CONFIRMATIONS: Final = 3
"""Updates after the first one that have to agree with a new level ..."""
CONFIRMED_AFTER_S: Final = 5.0
"""... and the time of the source that they have to span."""
FUTURE_MAX_S: Final = 5.0
"""Clocks differ. A price from further ahead could be called fresh for ever."""


class PriceUpdate(NamedTuple):
    """One update as a source sent it: publish_time in Unix seconds; conf NaN where it has none;
    volume since the update before in base units, NaN where it has none.
    """

    symbol: str
    price: float
    publish_time: float
    conf: float = math.nan
    volume: float = math.nan


@dataclass(slots=True)
class _Level:
    """The last price taken, and the level that waits to be confirmed, if there is one."""

    price: float
    publish_time: float
    wanted: float = math.nan
    wanted_since: float = math.nan
    agreed: int = 0


class PriceGate:
    """Remembers the level of each symbol. jump: the largest change in one update, 0.2 = 20 %."""

    def __init__(self, jump: float) -> None:
        self._jump = jump
        self._levels: dict[str, _Level] = {}

    def start_from(self, symbol: str, price: float, publish_time: float) -> None:
        """A level that somebody took before us: another process had the stream."""
        if math.isfinite(price) and price > 0 and math.isfinite(publish_time):
            self._levels[symbol] = _Level(price, publish_time)

    def forget(self, symbol: str) -> None:
        """Nobody follows the symbol any more."""
        self._levels.pop(symbol, None)

    def refuses(self, update: PriceUpdate, now: float) -> Refusal | None:
        """Why an update is dropped, None when it is taken. now: Unix seconds."""
        price, published = update.price, update.publish_time
        if not (math.isfinite(price) and price > 0 and math.isfinite(published)):
            return "not_a_price"
        if published > now + FUTURE_MAX_S:
            return "future"
        level = self._levels.get(update.symbol)
        if level is None:
            self._levels[update.symbol] = _Level(price, published)
            return None
        if published < level.publish_time:
            return "late"
        if not self._is_near(price, level.price) and not self._is_confirmed(level, update):
            return "jump"
        self._levels[update.symbol] = _Level(price, published)
        return None

    def _is_near(self, price: float, level: float) -> bool:
        return abs(price / level - 1) <= self._jump

    def _is_confirmed(self, level: _Level, update: PriceUpdate) -> bool:
        """Counts an update beyond the jump; whether the level it stands for is to be believed."""
        if math.isnan(level.wanted) or not self._is_near(update.price, level.wanted):
            level.wanted, level.wanted_since = update.price, update.publish_time
            level.agreed = 0
            return False
        level.agreed += 1
        waited_s = update.publish_time - level.wanted_since
        return level.agreed >= CONFIRMATIONS and waited_s >= CONFIRMED_AFTER_S

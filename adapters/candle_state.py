"""How one source of candles is doing, and when it may be asked again; pure."""

from dataclasses import dataclass, field
from typing import Any, Final

from adapters.candles import BudgetSpent, CandleError, KeyRefused, NoSuchCandles, WindowName
from adapters.price_feed import short_of

PAUSE_S: Final = 30.0
"""How long a source is left alone after an error."""
NO_SUCH_S: Final = 3_600.0
REFUSED_S: Final = 600.0


@dataclass(slots=True)
class SourceState:
    """What came of the requests to one source. Times are Unix seconds."""

    requests: int = 0
    errors: int = 0
    last_error: str | None = None
    last_answer_at: float | None = None
    is_failing: bool = False
    """Whether the last request came to nothing because of the source itself."""
    blocked_until: float = 0.0
    lacking: dict[WindowName, float] = field(default_factory=dict)
    """Candles that it does not have, until when that is believed."""

    def may(self, name: WindowName, now: float) -> bool:
        """Whether it may be asked for these now."""
        return now >= self.blocked_until and now >= self.lacking.get(name, 0.0)

    def answered(self, now: float) -> None:
        """Candles have come."""
        self.last_answer_at = now
        self.is_failing = False

    def failed(self, name: WindowName, error: CandleError, now: float) -> None:
        """Notes an error, and what it means for the requests after it."""
        self.errors += 1
        self.last_error = short_of(str(error))
        self.lacking = {each: until for each, until in self.lacking.items() if until > now}
        # A spent budget and a symbol that it lacks are answers of a source that is well.
        self.is_failing = not isinstance(error, BudgetSpent | NoSuchCandles)
        match error:
            case BudgetSpent():
                self.blocked_until = error.until
            case KeyRefused():
                self.blocked_until = now + REFUSED_S
            case NoSuchCandles():
                self.lacking[name] = now + NO_SUCH_S
            case _:
                self.lacking[name] = now + PAUSE_S

    def report(self, name: str, **more: Any) -> dict[str, Any]:
        """A JSON form."""
        return {
            "source": name,
            "requests": self.requests,
            "errors": self.errors,
            "last_error": self.last_error,
            "last_message_at": self.last_answer_at,
            "blocked_until": self.blocked_until or None,
            "failing": self.is_failing,
            **more,
        }

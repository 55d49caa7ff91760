"""Times at which a strategy may act: hours and weekdays, parameters of every strategy.

Outside of them the signal is 0, so that nothing opens or closes by signal; exits go on. The time is
that of the market in the slot, not that of a candle: a daily candle opens at midnight.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeVar

from strategies.base import FloatArray, Params
from strategies.errors import ParamProblem

SESSIONS: Final = {"asia": (0, 8), "eu": (7, 15), "us": (13, 21)}
"""Trading hours in UTC: 9 to 17 of Tokyo, and in summer 8 to 16 of London and 9 to 17 of New York.
"""
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_NAMES: Final = (
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
)  # fmt: skip
_WEEKDAYS: Final = DAYS[:5]

Moment = TypeVar("Moment", float, FloatArray)

_DAY_S: Final = 86_400
_FIRST_WEEKDAY: Final = 3
"""The first of January 1970 was a Thursday."""


def hour_of(moment: Moment) -> Moment:
    """The UTC hour of Unix times, 0..23."""
    return moment // 3600 % 24


def weekday_of(moment: Moment) -> Moment:
    """The UTC weekday of Unix times, 0 for Monday."""
    return (moment // _DAY_S + _FIRST_WEEKDAY) % 7


@dataclass(frozen=True)
class TradingTime:
    """Hours and weekdays in which a plan has a signal. hours: from the first up to the last, which
    is not among them; over midnight where the last comes before the first.
    """

    hours: tuple[int, int] = (0, 24)
    days: tuple[str, ...] = DAYS

    @cached_property
    def hour_mask(self) -> int:
        """A bit for each hour, the lowest for 0."""
        first, last = self.hours
        spread = range(first, last) if first < last else (*range(first, 24), *range(last))
        return sum(1 << hour for hour in spread)

    @cached_property
    def day_mask(self) -> int:
        """A bit for each weekday, the lowest for Monday."""
        return sum(1 << DAYS.index(day) for day in self.days)

    @property
    def is_always(self) -> bool:
        return self.hours == (0, 24) and self.days == DAYS

    def closed(self, moment: float) -> str:
        """Why there is no signal at a Unix time, "" where there may be one."""
        hour, day = int(hour_of(moment)), int(weekday_of(moment))
        if not self.day_mask >> day & 1:
            return f"no trading on {_DAY_NAMES[day]}, only on {' '.join(self.days)} (UTC)"
        if not self.hour_mask >> hour & 1:
            minute = int(moment // 60) % 60
            first, last = self.hours
            return f"outside of its hours: {first} to {last} UTC, it is {hour:02}:{minute:02}"
        return ""


ALWAYS: Final = TradingTime()


def trading_time(params: Params) -> TradingTime:
    """What the filters among canonical parameters leave open."""
    hours, days = params.get(SESSION_FILTER.name), params.get(DAY_OF_WEEK_FILTER.name)
    if hours is None and days is None:
        return ALWAYS
    first, last = hours or ALWAYS.hours
    return TradingTime((first, last), tuple(days or ALWAYS.days))


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """The parameter `session_filter`. Canonical: two hours, or left out where all are open."""

    name: str = "session_filter"
    type: Literal["choice"] = "choice"
    choices: tuple[str, ...] = tuple(SESSIONS)
    description: str = (
        "signals only between two UTC hours: asia (0 to 8), eu (7 to 15), us (13 to 21, the same as"
        " true), or [first, last]"
    )

    def snap(self, given: object) -> tuple[list[int] | None, list[ParamProblem]]:
        """The canonical value, or what is wrong."""
        if given is None or given is False:
            return None, []
        hours: object = given
        if given is True:
            hours = SESSIONS["us"]
        elif isinstance(given, str):
            hours = SESSIONS.get(given.strip().lower())
        problem = f"must be {', '.join(self.choices)} or two hours like [13, 21]"
        if not isinstance(hours, list | tuple) or len(hours) != 2:
            return None, [ParamProblem(self.name, problem)]
        if not all(_is_hour(hour) for hour in hours):
            return None, [ParamProblem(self.name, "its hours must be whole numbers from 0 to 24")]
        first, last = int(hours[0]) % 24, int(hours[1]) % 24 or 24
        if int(hours[0]) == int(hours[1]):
            return None, [ParamProblem(self.name, "its two hours must differ")]
        return (None if (first, last) == ALWAYS.hours else [first, last]), []


def _is_hour(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= 24 and value == int(value)


@dataclass(frozen=True, slots=True)
class DayOfWeekFilter:
    """The parameter `day_of_week_filter`. Canonical: days in the order of the week, or left out
    where all are open.
    """

    name: str = "day_of_week_filter"
    type: Literal["list"] = "list"
    choices: tuple[str, ...] = DAYS
    description: str = (
        "signals only on these UTC weekdays; true or weekdays: Monday to Friday, weekend: the rest"
    )

    def snap(self, given: object) -> tuple[list[str] | None, list[ParamProblem]]:
        """The canonical value, or what is wrong."""
        if given is None or given is False:
            return None, []
        if given is True or given == "weekdays":
            given = list(_WEEKDAYS)
        if given == "weekend":
            given = list(DAYS[5:])
        problem = f"must be a list of {', '.join(DAYS)}"
        if not isinstance(given, list) or not given or len(given) > len(DAYS):
            return None, [ParamProblem(self.name, problem)]
        days = {_day(each) for each in given}
        if "" in days:
            return None, [ParamProblem(self.name, problem)]
        return (None if len(days) == 7 else [day for day in DAYS if day in days]), []


def _day(given: object) -> str:
    """mon for mon, Mon and Monday; "" for what is no day."""
    text = given.strip().lower() if isinstance(given, str) else ""
    full = [name.lower() for name in _DAY_NAMES]
    return text if text in DAYS else DAYS[full.index(text)] if text in full else ""


SESSION_FILTER: Final = SessionFilter()
DAY_OF_WEEK_FILTER: Final = DayOfWeekFilter()
FILTERS: Final = (SESSION_FILTER, DAY_OF_WEEK_FILTER)
"""In the order in which the catalogue lists them."""
FILTER_NAMES: Final = frozenset(each.name for each in FILTERS)

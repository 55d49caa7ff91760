"""GET /api/strategies: the catalogue, as the strategies declare it."""

from functools import cache
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.answers import answer
from api.auth import caller_of
from strategies import catalog


class ParamAnswer(msgspec.Struct, frozen=True):
    """One parameter of a strategy. Numbers lie on the grid that min and step span; choices are the
    words that a choice or a list takes. Left out, those two change nothing.
    """

    name: str
    type: Literal["int", "float", "choice", "list"]
    default: int | float | None
    min: int | float | None
    max: int | float | None
    step: int | float | None
    choices: list[str] | None
    description: str


class StrategyAnswer(msgspec.Struct, frozen=True):
    """One strategy of the catalogue; warm_up_bars is with its defaults."""

    name: str
    family: str
    description: str
    warm_up_bars: int
    needs_volume: bool
    params: list[ParamAnswer]


async def list_strategies(request: Request) -> Response:
    """Every strategy that an agent may be created with."""
    caller_of(request)
    return answer(_catalogue())


@cache
def _catalogue() -> list[StrategyAnswer]:
    """The same for everybody, as long as this process runs."""
    return msgspec.convert(catalog.describe(), list[StrategyAnswer])

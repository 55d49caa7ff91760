"""How the sources of prices and candles are doing, for operators: GET /api/market/sources, and in
short in /ready.
"""

from typing import Any, Literal

import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from adapters.live_frames import LivePrices
from adapters.redis_client import away_as_error
from api.answers import answer
from api.auth import caller_of
from api.hub import Hub, hub_of
from api.times import IsoTime, iso_seconds
from engine.frames import PRICE_STALE_S, Frame


class BudgetAnswer(msgspec.Struct, frozen=True):
    """Requests that may still be made in this minute and in this day."""

    minute: int
    day: int


class SourceHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One source. state: `computed` for a function of the slot, else what its stream or its client
    is at: `connected`, `connecting`, `waiting`, `idle`, `blocked` (until retry_at), `failing`
    (what it was asked for last came to an error, or its process cannot run), or `nobody` when no
    process looks after it.
    """

    source: str
    kind: Literal["prices", "candles"]
    is_own: bool = False
    """Whether it is asked with the caller's own key, and the figures are those of that key."""
    state: str
    connected_since: IsoTime | None = None
    last_message_age_s: float | None = None
    errors: int = 0
    budget_left: BudgetAnswer | None = None
    stale_symbols: list[str] = []


class SourceReport(SourceHealth, frozen=True, kw_only=True):
    """The same with what it takes to see why."""

    last_error: str | None = None
    retry_at: IsoTime | None = None
    messages: int = 0
    malformed: int = 0
    dropped: dict[str, int] = {}
    unknown_symbols: list[str] = []
    left_out_symbols: list[str] = []
    """Those of agents that are too many to be followed: they have no price."""
    held_by: str | None = None

    def in_short(self) -> SourceHealth:
        """Without what servers outside have said: it may be read without a credential."""
        fields = SourceHealth.__struct_fields__
        return SourceHealth(**{name: getattr(self, name) for name in fields})


class SourcesAnswer(msgspec.Struct, frozen=True):
    """Where prices come from, in one plain line, and each source."""

    prices: str | None
    sources: list[SourceReport]


async def list_sources(request: Request) -> Response:
    """GET /api/market/sources: {prices, sources}."""
    hub, caller = hub_of(request), caller_of(request)
    async with away_as_error():
        sources = await sources_of(hub)
        own = await hub.candles.told_of_own(caller.user_id)
        if own is not None:
            sources.append(_candle_report(own, hub.clock.now(), is_own=True))
        return answer(SourcesAnswer(hub.prices.says, sources))


async def sources_of(hub: Hub) -> list[SourceReport]:
    """Every source, prices first. Raises what says that Redis is away."""
    source = hub.prices.source
    if source is None:
        return []
    now = hub.clock.now()
    frame = await hub.sights.newest_frame()
    stale = stale_symbols(frame, int(now))
    if not isinstance(source, LivePrices):
        return [SourceReport(source=source.name, kind="prices", state="computed",
                             stale_symbols=stale)]  # fmt: skip
    told = await source.table.told()
    stream = {} if told is None else msgspec.json.decode(told, type=dict[str, Any])
    trouble = await hub.candles.store.exchange_trouble(source.name)
    if not stream and trouble is not None:
        stream = {"state": "failing", "errors": 1, "last_error": trouble}
    candles = await hub.candles.store.told() or {"sources": []}
    return [
        _stream_report(source.name, stream, stale, now),
        *(_candle_report(each, now) for each in candles["sources"]),
    ]


def stale_symbols(frame: Frame | None, slot: int) -> list[str]:
    """The symbols of the newest frame whose price is too old to be traded on at a slot."""
    if frame is None:
        return []
    with np.errstate(invalid="ignore"):
        fresh = frame.publish_time >= slot - PRICE_STALE_S
    return [symbol for symbol, is_fresh in zip(frame.symbols, fresh, strict=True) if not is_fresh]


def _stream_report(name: str, told: dict[str, Any], stale: list[str], now: float) -> SourceReport:
    left_out = told.get("left_out", [])
    return SourceReport(
        source=name,
        kind="prices",
        state=told.get("state", "nobody"),
        connected_since=_moment(told.get("connected_since")),
        last_message_age_s=_age(told.get("last_message_at"), now),
        errors=told.get("errors", 0),
        stale_symbols=sorted({*stale, *left_out}),
        last_error=told.get("last_error"),
        retry_at=_moment(told.get("retry_at")),
        messages=told.get("messages", 0),
        malformed=told.get("malformed", 0),
        dropped=told.get("dropped", {}),
        unknown_symbols=told.get("unknown", []),
        left_out_symbols=left_out,
        held_by=told.get("feeder"),
    )


def _candle_report(told: dict[str, Any], now: float, *, is_own: bool = False) -> SourceReport:
    blocked_until = told["blocked_until"]
    is_blocked = blocked_until is not None and blocked_until > now
    left = told.get("budget_left")
    state = "connected" if told["last_message_at"] else "idle"
    if is_blocked or told.get("failing"):
        state = "blocked" if is_blocked else "failing"
    return SourceReport(
        source=told["source"],
        kind="candles",
        is_own=is_own,
        state=state,
        last_message_age_s=_age(told["last_message_at"], now),
        errors=told["errors"],
        budget_left=None if left is None else BudgetAnswer(left["minute"], left["day"]),
        last_error=told["last_error"],
        retry_at=_moment(blocked_until) if is_blocked else None,
        messages=told["requests"],
    )


def _age(moment: float | None, now: float) -> float | None:
    return None if moment is None else max(round(now - moment, 3), 0.0)


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else iso_seconds(seconds)

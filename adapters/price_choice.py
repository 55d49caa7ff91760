"""Turns ARTIC_PRICE_SOURCE into what a process makes frames of: a function or the live table.

`auto` is settled once for all processes: whoever starts first decides, writes it down for the
others, and all of them keep it alive. So it is decided anew only when the whole pool was down.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import msgspec

from adapters import redis_keys as keys
from adapters.errors import AdapterError
from adapters.live_frames import LivePrices
from adapters.live_table import LiveTable
from adapters.prices import PriceSource, PriceSourceError, open_source
from adapters.redis_client import Redis, command
from adapters.settings import PYTH_URL, Settings

AUTO: Final = "auto"
LIVE_SOURCES: Final = ("pyth", "exchange")
CHOICE_TTL_S: Final = 60
CHOOSING_MS: Final = 10_000
CHOOSING_POLL_S: Final = 0.1
GIVE_UP_S: Final = 30.0

Probe = Callable[[], Awaitable[str]]
"""Asks the exchange for its symbols: "" when it answers, else why it does not, in a few words."""


class PriceChoice(msgspec.Struct, frozen=True):
    """What `auto` came to: one of the named sources, and why."""

    source: str
    why: str


def check_prices(settings: Settings) -> PriceSource | None:
    """The source that the settings name, opened, if it is a function; a live one, and `auto`, are
    checked only.

    Raises:
        PriceSourceError: there is no such source, it lacks a setting, or its files can't be played.
    """
    if settings.price_source == AUTO:
        return None
    if settings.price_source not in LIVE_SOURCES:
        return open_source(settings.price_source)
    is_pyth = settings.price_source == "pyth"
    if is_pyth and settings.pyth_url == PYTH_URL and not settings.pyth_api_key:
        raise PriceSourceError("pyth needs a key: set ARTIC_PYTH_API_KEY")
    return None


def open_prices(settings: Settings, redis: Redis) -> PriceSource | LivePrices:
    """What a process makes frames of; `auto` has been settled. Raises like check_prices."""
    assert settings.price_source != AUTO, "settle() comes first"
    name = settings.exchange if settings.price_source == "exchange" else settings.price_source
    return check_prices(settings) or LivePrices(name, LiveTable(redis))


def says(settings: Settings, choice: PriceChoice | None = None) -> str:
    """Where prices come from, in one plain line."""
    source = settings.price_source
    if source == "pyth":
        line = "prices are streamed from Pyth"
    elif source == "exchange":
        line = f"prices are streamed from the exchange {settings.exchange}"
    elif source.startswith("replay:"):
        line = f"prices are replayed from {source.removeprefix('replay:')}"
    else:
        line = "prices are simulated (seeded random walks; no market is asked)"
    return line if choice is None else f"{line}: {choice.why}"


async def settle(settings: Settings, redis: Redis, probe: Probe) -> tuple[Settings, PriceChoice]:
    """The settings with what `auto` stands for, decided now unless somebody has before.

    Raises:
        PriceSourceError: the process that decides does not come to an end.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GIVE_UP_S
    while loop.time() < deadline:
        choice = await settled(redis)
        if choice is not None:
            return settled_settings(settings, choice), choice
        mine = await command(redis, "SET", keys.market_choosing(), "1", "NX", "PX", CHOOSING_MS)
        if mine:
            choice = await _decide(settings, probe)
            await keep_choice(redis, choice)
            return settled_settings(settings, choice), choice
        await asyncio.sleep(CHOOSING_POLL_S)
    raise PriceSourceError(f"nobody has settled on a price source within {GIVE_UP_S:g} s")


async def settled(redis: Redis) -> PriceChoice | None:
    """What `auto` stands for now, None while nobody has said it."""
    told: bytes | None = await command(redis, "GET", keys.market_choice())
    return None if told is None else msgspec.json.decode(told, type=PriceChoice)


def settled_settings(settings: Settings, choice: PriceChoice) -> Settings:
    """The settings as if the source had been named."""
    return replace(settings, price_source=choice.source)


async def keep_choice(redis: Redis, choice: PriceChoice) -> None:
    """Writes it down for the others, for a minute from now."""
    told = msgspec.json.encode(choice)
    await command(redis, "SET", keys.market_choice(), told, "EX", CHOICE_TTL_S)


async def forget_choice(redis: Redis) -> None:
    """The whole pool stops in order: the next start decides anew."""
    await command(redis, "DEL", keys.market_choice())


async def _decide(settings: Settings, probe: Probe) -> PriceChoice:
    if settings.pyth_api_key:
        return PriceChoice("pyth", "its key is set")
    try:
        problem = await probe()
    except AdapterError as error:
        problem = str(error)
    if not problem:
        return PriceChoice("exchange", "no key of Pyth is set, and the exchange answers")
    why = f"no key of Pyth is set, and the exchange {settings.exchange} {problem}"
    return PriceChoice("simulated", why)

"""Turns ARTIC_PRICE_SOURCE into what a process makes frames of: a function or the live table."""

from typing import Final

from adapters.live_frames import LivePrices
from adapters.live_table import LiveTable
from adapters.prices import PriceSource, PriceSourceError, open_source
from adapters.redis_client import Redis
from adapters.settings import PYTH_URL, Settings

LIVE_SOURCES: Final = ("pyth", "exchange")


def check_prices(settings: Settings) -> PriceSource | None:
    """The source that the settings name, opened, if it is a function; a live one is checked only.

    Raises:
        PriceSourceError: there is no such source, it lacks a setting, or its files can't be played.
    """
    if settings.price_source not in LIVE_SOURCES:
        return open_source(settings.price_source)
    is_pyth = settings.price_source == "pyth"
    if is_pyth and settings.pyth_url == PYTH_URL and not settings.pyth_api_key:
        raise PriceSourceError("pyth needs a key: set ARTIC_PYTH_API_KEY")
    return None


def open_prices(settings: Settings, redis: Redis) -> PriceSource | LivePrices:
    """What a process makes frames of. Raises PriceSourceError like check_prices."""
    name = settings.exchange if settings.price_source == "exchange" else settings.price_source
    return check_prices(settings) or LivePrices(name, LiveTable(redis))

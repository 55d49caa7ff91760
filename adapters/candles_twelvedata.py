"""Candles of TwelveData: one request and one credit for each symbol and timeframe.

An error may come as an HTTP status or inside of an answer with status 200, so both are read.
Everything is text, newest first; crypto has no volume.
"""

import asyncio
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import httpx
import msgspec

from adapters.candles import (
    BudgetSpent,
    CandleError,
    FetchedCandles,
    KeyRefused,
    NoSuchCandles,
    clean_candles,
)
from adapters.price_feed import short_of, without_key
from engine.frames import WINDOW_BARS

INTERVALS: Final = {
    "1m": "1min", "5m": "5min", "15m": "15min", "30m": "30min", "1h": "1h", "4h": "4h",
    "1d": "1day",
}  # fmt: skip
DOLLARS: Final = {"USDT", "USDC", "USD"}
"""Quotes that its prices in US dollars stand for."""
TIMEOUT_S: Final = 4.0
MINUTE_S: Final = 60
DAY_S: Final = 86_400


class _Value(msgspec.Struct):
    datetime: str
    open: str
    high: str
    low: str
    close: str
    volume: str | None = None


class _Answer(msgspec.Struct):
    status: str = "ok"
    code: int = 200
    message: str = ""
    values: list[_Value] = []


class TwelveDataCandles:
    """Asks with one key; who may ask how often is decided elsewhere (candle_budget.py)."""

    name = "twelvedata"

    def __init__(
        self,
        url: str,
        api_key: str,
        clock: Callable[[], float],
        client: httpx.AsyncClient,
        timeout_s: float | None = None,
    ) -> None:
        """The client is the caller's, and closed by it. clock: Unix seconds of Redis; timeout_s:
        how long a whole answer may take, TIMEOUT_S by default.
        """
        self._url = f"{url}/time_series"
        self._key = api_key
        self._headers = {"Authorization": f"apikey {api_key}"}
        self._clock = clock
        self._client = client
        self._timeout_s = TIMEOUT_S if timeout_s is None else timeout_s
        self.minute_left: int | None = None
        """Credits left in this minute, as the service said last."""

    async def fetch(self, symbol: str, timeframe: str) -> FetchedCandles:
        """See CandleSource.fetch."""
        query = {
            "symbol": _its_symbol(symbol),
            "interval": INTERVALS[timeframe],
            "outputsize": str(WINDOW_BARS + 1),
            "timezone": "UTC",
        }
        try:
            # The client's own timeouts are for each part of an answer, this one is for the whole.
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.get(
                    self._url, params=query, headers=self._headers, timeout=self._timeout_s
                )
        except (httpx.HTTPError, TimeoutError) as error:
            words = str(error) or type(error).__name__
            raise CandleError(f"TwelveData does not answer: {words}") from error
        left = answer.headers.get("api-credits-left", "")
        self.minute_left = int(left) if left.isdecimal() else None
        now = self._clock()
        said = _read(answer)
        code = _code(answer.status_code, said)
        if code != httpx.codes.OK:
            raise _refusal(code, without_key(said.message, self._key), symbol, now)
        try:
            rows = [_row(value) for value in said.values]
        except ValueError as error:
            raise CandleError(f"TwelveData's candles cannot be read: {error}") from error
        candles = clean_candles(self.name, timeframe, rows, now)
        if candles.is_empty:
            raise CandleError(f"TwelveData has sent no candles of {symbol} {timeframe}")
        return candles


def _read(answer: httpx.Response) -> _Answer:
    """The body; one that is no JSON is an error with the HTTP status and its own text."""
    try:
        return msgspec.json.decode(answer.content, type=_Answer, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        code = answer.status_code if answer.is_error else httpx.codes.BAD_GATEWAY
        return _Answer(status="error", code=code, message=answer.text)


def _code(status: int, said: _Answer) -> int:
    """What the answer means: an error in the body counts whatever the status says, and so does
    either of its two marks without the other.
    """
    if said.code != httpx.codes.OK:
        return said.code
    if said.status == "error" and status == httpx.codes.OK:
        return int(httpx.codes.BAD_GATEWAY)
    return status


def _refusal(code: int, message: str, symbol: str, now: float) -> CandleError:
    text = short_of(message)
    if code == httpx.codes.TOO_MANY_REQUESTS:
        unit_s = DAY_S if "for the day" in text else MINUTE_S
        return BudgetSpent(f"TwelveData: {text}", until=(now // unit_s + 1) * unit_s)
    if code in {401, 403}:
        return KeyRefused(f"TwelveData refuses the key ({code}): {text}")
    if code in {400, 404}:
        return NoSuchCandles(f"TwelveData has no {symbol} ({code}): {text}")
    return CandleError(f"TwelveData answers {code}: {text}")


def _its_symbol(symbol: str) -> str:
    base, _, quote = symbol.partition("/")
    return f"{base}/USD" if quote in DOLLARS else symbol


def _row(value: _Value) -> tuple[float, float, float, float, float, float]:
    opened = datetime.fromisoformat(value.datetime).replace(tzinfo=UTC).timestamp()
    volume = math.nan if value.volume is None else float(value.volume)
    prices = (float(value.open), float(value.high), float(value.low), float(value.close))
    return (opened, *prices, volume)

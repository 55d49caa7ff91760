"""TwelveData's time_series as it is written down: text, newest first, errors of two kinds.

Counts every request and when it came; it enforces its own limit of credits by whole minutes, as
the service does. `python -m tests.servers.twelvedata` runs one and prints the settings for it.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.servers.wire import Asked, WireServer, drip, respond

KEY = "a-key-of-twelvedata"
SECONDS = {
    "1min": 60, "5min": 300, "15min": 900, "30min": 1800, "1h": 3600, "4h": 14_400,
    "1day": 86_400,
}  # fmt: skip
BASES = {"BTC": 64_000.0, "ETH": 3_000.0, "SOL": 150.0}
MINUTE = (
    "You have run out of API credits for the current minute. {n} API credits were used, with the"
    " current limit being 8. Wait for the next minute or consider switching to a higher tier plan"
    " at https://twelvedata.com/pricing"
)
DAY = "You have run out of API credits for the day. {n} API credits were used, the limit being 800."


@dataclass
class TwelveDataServer:
    """One server. keys: those it takes, each with its own credits."""

    keys: set[str] = field(default_factory=lambda: {KEY})
    bases: dict[str, float] = field(default_factory=lambda: dict(BASES))
    errors_as_200: bool = False
    refuse: tuple[int, str] | None = None
    """What every request is told, as code and message."""
    raw: tuple[int, bytes] | None = None
    """What every request is told, as status and body."""
    drips: bool = False
    """Answers come a byte at a time, and never end."""
    day_is_spent: bool = False
    with_unfinished: bool = True
    missing: set[float] = field(default_factory=set)
    """Opening times of bars that it does not have."""
    clock: Callable[[], float] = time.time
    asked: list[tuple[float, str, str, str]] = field(default_factory=list)
    """(when, key, symbol, interval) of every request."""
    credits: Counter[tuple[str, int]] = field(default_factory=Counter)
    held: asyncio.Event | None = None

    def __post_init__(self) -> None:
        self.wire = WireServer(self._handle)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wire.port}"

    def most_in(self, seconds: float) -> int:
        """The most requests of one key in any stretch of time of that length."""
        times: dict[str, list[float]] = {}
        for when, key, _, _ in self.asked:
            times.setdefault(key, []).append(when)
        return max(
            (sum(start <= t < start + seconds for t in each) for each in times.values()
             for start in each),
            default=0,
        )  # fmt: skip

    async def _handle(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        scheme, _, key = asked.headers.get("authorization", "").partition(" ")
        key = key if scheme == "apikey" else (asked.values("apikey") or [""])[0]
        symbol, interval = (
            (asked.values("symbol") or [""])[0],
            (asked.values("interval") or [""])[0],
        )
        self.asked.append((time.monotonic(), key, symbol, interval))
        if self.held is not None:
            await self.held.wait()
        if self.drips:
            return await drip(self.wire.reader_of(writer), writer)
        if self.raw is not None:
            return respond(writer, self.raw[0], self.raw[1], "text/html")
        minute = int(self.clock() // 60)
        self.credits[key, minute] += 1
        used = self.credits[key, minute]
        problem = self.refuse or self._problem(key, symbol, interval, used)
        headers = {"api-credits-used": str(used), "api-credits-left": str(max(8 - used, 0))}
        if problem is not None:
            code, message = problem
            body = {"code": code, "message": message, "status": "error"}
            status = 200 if self.errors_as_200 else code
            return respond(writer, status, json.dumps(body).encode(), headers=headers)
        size = int((asked.values("outputsize") or ["30"])[0])
        utc = "UTC" in asked.values("timezone")
        body = self._series(symbol, interval, size, utc=utc)
        return respond(writer, 200, json.dumps(body).encode(), headers=headers)

    def _problem(self, key: str, symbol: str, interval: str, used: int) -> tuple[int, str] | None:
        if key not in self.keys:
            return 401, "**apikey** parameter is incorrect or not specified. You can get one at ..."
        if self.day_is_spent:
            return 429, DAY.format(n=801)
        if used > 8:
            return 429, MINUTE.format(n=used)
        if interval not in SECONDS:
            intervals = ", ".join(SECONDS)
            return 400, f"Invalid **interval** provided: {interval}. Supported: {intervals}"
        base, _, quote = symbol.partition("/")
        if base not in self.bases or quote != "USD":
            return 404, "**symbol** or **figi** parameter is missing or invalid. Please provide ..."
        return None

    def _series(self, symbol: str, interval: str, size: int, *, utc: bool) -> dict[str, object]:
        seconds, base = SECONDS[interval], symbol.partition("/")[0]
        newest = int(self.clock() // seconds) * seconds - (0 if self.with_unfinished else seconds)
        times = [newest - n * seconds for n in range(size)]
        # Without `timezone` the exchange's own would be meant, which is none of ours.
        shift = 0 if utc else 5 * 3600
        return {
            "meta": {
                "symbol": symbol,
                "interval": interval,
                "currency_base": base,
                "currency_quote": "US Dollar",
                "exchange": "Binance",
                "type": "Digital Currency",
            },
            "values": [
                self._value(base, t, seconds, shift) for t in times if t not in self.missing
            ],
            "status": "ok",
        }

    def _value(self, base: str, opened: float, seconds: int, shift: int) -> dict[str, str]:
        shape = "%Y-%m-%d" if seconds == 86_400 else "%Y-%m-%d %H:%M:%S"
        o, h, low, c = self.bar(base, opened, seconds)
        return {
            "datetime": datetime.fromtimestamp(opened - shift, UTC).strftime(shape),
            "open": f"{o}", "high": f"{h}", "low": f"{low}", "close": f"{c}",
        }  # fmt: skip

    def bar(self, base: str, opened: float, seconds: int) -> tuple[float, float, float, float]:
        """Open, high, low, close of a bar: made up, the same for everybody who asks."""
        level = self.bases[base] + int(opened // seconds) % 89
        return level, level + 2.5, level - 3.25, level + 1.125


@asynccontextmanager
async def twelvedata(**settings: object) -> AsyncIterator[TwelveDataServer]:
    """A server on a free port."""
    server = TwelveDataServer()
    for name, value in settings.items():
        setattr(server, name, value)
    await server.wire.start()
    try:
        yield server
    finally:
        await server.wire.stop()


async def _serve() -> None:
    async with twelvedata() as server:
        print(f"ARTIC_TWELVEDATA_URL={server.url} ARTIC_TWELVE_DATA_API_KEY={KEY}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())

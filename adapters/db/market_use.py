"""What the market is asked for: the symbols and candles of all agents there are."""

from dataclasses import dataclass

from adapters.db.connection import Database, connection

_USE = (
    "SELECT symbol, timeframe, array_agg(DISTINCT strategy_name) AS strategies,"
    " count(DISTINCT user_id) AS owners"
    " FROM (SELECT DISTINCT symbol, timeframe, strategy_name, user_id FROM agents) AS used"
    " GROUP BY symbol, timeframe"
)


@dataclass(frozen=True, slots=True)
class CandleUse:
    """How many owners have agents that look at these candles, and with which strategies."""

    symbol: str
    timeframe: str
    strategies: list[str]
    owners: int


async def market_use(database: Database) -> list[CandleUse]:
    """One entry for each (symbol, timeframe) that an agent has.

    Stopped agents count: they may hold a position. Deleted ones do, too, until their record is
    gone: their position may have to be closed.

    Raises:
        DatabaseAway: PostgreSQL does not answer.
    """
    async with connection(database) as con:
        found = await con.fetch(_USE)
    return [CandleUse(**dict(row)) for row in found]

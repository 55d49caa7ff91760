"""What the market is asked for: the symbols and candles of all agents there are."""

from dataclasses import dataclass

from adapters.db.connection import Database, connection

_USE = (
    "SELECT symbol, timeframe, strategy_name, count(*) AS agents FROM agents"
    " GROUP BY symbol, timeframe, strategy_name"
)


@dataclass(frozen=True, slots=True)
class CandleUse:
    """How many agents look at the candles of a symbol and timeframe with one strategy."""

    symbol: str
    timeframe: str
    strategy_name: str
    agents: int


async def market_use(database: Database) -> list[CandleUse]:
    """One entry for each (symbol, timeframe, strategy) that an agent has.

    Stopped agents count: they may hold a position. Deleted ones do, too, until their record is
    gone: their position may have to be closed.

    Raises:
        DatabaseAway: PostgreSQL does not answer.
    """
    async with connection(database) as con:
        found = await con.fetch(_USE)
    return [CandleUse(**dict(row)) for row in found]

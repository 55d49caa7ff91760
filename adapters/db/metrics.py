"""What of an agent's trades its metrics are computed from: seven numbers a trade, nothing else."""

from uuid import UUID

import numpy as np

from adapters.db.connection import Database, connection
from engine.metrics import TradeColumns

# NaN for what an open trade has not: columns of floats know no NULL
_COLUMNS = (
    "SELECT quantity::float8, entry_price::float8, coalesce(exit_price::float8, 'NaN'),"
    " fee_usd::float8, coalesce(pnl_usd::float8, 'NaN'), extract(epoch FROM opened_at)::float8,"
    " coalesce(extract(epoch FROM closed_at)::float8, 'NaN') FROM trades"
    " WHERE agent_id = $1 AND user_id = $2 ORDER BY closed_at NULLS LAST, seq"
)


async def trade_columns(database: Database, user_id: UUID, agent_id: UUID) -> TradeColumns:
    """All trades of an agent, the closed ones in the order of their close."""
    async with connection(database) as con:
        found = await con.fetch(_COLUMNS, agent_id, user_id)
    table = np.array([tuple(row) for row in found], np.float64).reshape(len(found), 7)
    return TradeColumns(*np.ascontiguousarray(table.T))

"""What of trades their metrics are computed from, added up where the trades are.

A fleet may have millions of them, and the hub's event loop has no time for each: what comes back
is one row for each day. Trades of agents that were deleted stay in the record and are not counted.
"""

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from adapters.db.connection import Database, connection
from engine.metrics import Traded, TradeDays

# 86400: days are those of UTC, as in engine.metrics
_SUMS = """
WITH mine AS MATERIALIZED (
  SELECT id, user_id, created_at, to_timestamp($3) AS at,
    (risk_params->>'max_position_usd')::float8 AS capital
  FROM agents WHERE user_id = $1 AND wanted <> 'deleted' AND ($2::uuid IS NULL OR id = $2)
), traded AS MATERIALIZED (
  SELECT mine.id, capital, opened_at, closed_at, fee_usd, pnl_usd,
    quantity::float8 * (entry_price::float8 + coalesce(exit_price::float8, 0)) AS turned,
    greatest(extract(epoch FROM coalesce(closed_at, at) - opened_at)::float8, 0) AS held_s
  FROM mine JOIN trades ON trades.agent_id = mine.id AND trades.user_id = mine.user_id
), first AS (
  SELECT id, min(opened_at) AS opened_at FROM traded GROUP BY id
), fleet AS (
  SELECT count(*) AS agents, coalesce(sum(capital), 0) AS capital, coalesce(sum(capital
    * greatest(extract(epoch FROM at - least(created_at, opened_at))::float8, 0)), 0) AS alive
  FROM mine LEFT JOIN first USING (id)
), sums AS (
  SELECT floor(extract(epoch FROM min(opened_at)) / 86400)::bigint AS first_day,
    coalesce(sum(capital * held_s), 0) AS held, coalesce(sum(fee_usd), 0)::float8 AS fees_usd,
    coalesce(sum(turned), 0) AS turnover_usd
  FROM traded
), brought AS (
  SELECT closed_at, sum(sum(pnl_usd)::float8) OVER (ORDER BY closed_at) AS so_far
  FROM traded WHERE closed_at IS NOT NULL GROUP BY closed_at
), curve AS (
  SELECT capital + so_far AS equity,
    capital + greatest(0, max(so_far) OVER (ORDER BY closed_at)) AS peak
  FROM brought, fleet
), fall AS (
  SELECT coalesce(max(peak - equity), 0) AS fall_usd,
    coalesce(max((peak - equity) / peak), 0) AS fall_share
  FROM curve
), days AS (
  SELECT floor(extract(epoch FROM closed_at) / 86400)::bigint AS day, count(*) AS trades,
    count(*) FILTER (WHERE pnl_usd > 0) AS wins, count(*) FILTER (WHERE pnl_usd < 0) AS losses,
    sum(greatest(pnl_usd, 0))::float8 AS won_usd, sum(greatest(-pnl_usd, 0))::float8 AS lost_usd,
    sum(held_s) AS held_s
  FROM traded WHERE closed_at IS NOT NULL GROUP BY 1
)
SELECT * FROM fleet CROSS JOIN sums CROSS JOIN fall LEFT JOIN days ON true ORDER BY day
"""


async def read_traded(
    database: Database, user_id: UUID, now_s: float, agent_id: UUID | None = None
) -> Traded:
    """What one agent of an account has traded, or all of them together, as of now (Unix seconds).

    Agents that there are not, or that belong to somebody else, have traded nothing.
    """
    async with connection(database) as con:
        found = await con.fetch(_SUMS, user_id, agent_id, now_s)
    sums = found[0]
    days = [row for row in found if row["day"] is not None]

    def numbers(name: str) -> NDArray[np.float64]:
        return np.array([row[name] for row in days], np.float64)

    def counts(name: str) -> NDArray[np.int64]:
        return np.array([row[name] for row in days], np.int64)

    return Traded(
        agents=sums["agents"],
        capital_usd=sums["capital"],
        alive=sums["alive"],
        held=sums["held"],
        first_day=sums["first_day"],
        fees_usd=sums["fees_usd"],
        turnover_usd=sums["turnover_usd"],
        fall_usd=sums["fall_usd"],
        fall_share=sums["fall_share"],
        days=TradeDays(
            day=counts("day"),
            trades=counts("trades"),
            wins=counts("wins"),
            losses=counts("losses"),
            won_usd=numbers("won_usd"),
            lost_usd=numbers("lost_usd"),
            held_s=numbers("held_s"),
        ),
    )

"""What of trades their metrics are computed from, added up where the trades are.

A fleet may have millions of them, and the hub's event loop has no time for each: what comes back
is one row for each day. Trades of agents that were deleted stay in the record and are not counted.
"""

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from adapters.db.connection import Database, transaction
from engine.metrics import Traded, TradeDays

_MEMORY = "64MB"
"""For sorting and hashing; with the server's usual 4 MB a million trades go through files."""

# Numbers become floats first: sums of NUMERIC, and the seconds of EXTRACT, cost twice as much.
_SUMS = """
WITH mine AS MATERIALIZED (
  SELECT id, user_id, created_at, to_timestamp($3) AS at,
    (risk_params->>'max_position_usd')::float8 AS capital
  FROM agents WHERE user_id = $1 AND wanted <> 'deleted' AND ($2::uuid IS NULL OR id = $2)
), traded AS MATERIALIZED (
  SELECT mine.id, opened_at, closed_at, fee_usd::float8 AS fee, pnl_usd::float8 AS pnl,
    quantity::float8 * (entry_price::float8 + coalesce(exit_price::float8, 0)) AS turned,
    greatest(date_part('epoch', coalesce(closed_at, at) - opened_at), 0) AS held_s
  FROM mine JOIN trades ON trades.agent_id = mine.id AND trades.user_id = mine.user_id
), agent_days AS MATERIALIZED (
  SELECT id, (closed_at AT TIME ZONE 'UTC')::date - DATE '1970-01-01' AS day,
    min(opened_at) AS opened_at, sum(fee) AS fees, sum(turned) AS turned, sum(held_s) AS held_s,
    count(*) AS trades, count(*) FILTER (WHERE pnl > 0) AS wins,
    count(*) FILTER (WHERE pnl < 0) AS losses,
    sum(greatest(pnl, 0)) AS won_usd, sum(greatest(-pnl, 0)) AS lost_usd
  FROM traded GROUP BY 1, 2
), agent_sums AS (
  SELECT id, min(opened_at) AS opened_at, sum(fees) AS fees, sum(turned) AS turned,
    sum(held_s) AS held_s
  FROM agent_days GROUP BY id
), fleet AS (
  SELECT count(*) AS agents, coalesce(sum(capital), 0) AS capital, coalesce(sum(capital
    * greatest(date_part('epoch', at - least(created_at, opened_at)), 0)), 0) AS alive,
    floor(date_part('epoch', min(opened_at)) / 86400)::bigint AS first_day,
    coalesce(sum(capital * held_s), 0) AS held, coalesce(sum(fees), 0) AS fees_usd,
    coalesce(sum(turned), 0) AS turnover_usd
  FROM mine LEFT JOIN agent_sums USING (id)
), brought AS (
  -- trades that close in one moment are peers: each has the sum after all of them
  SELECT closed_at, sum(pnl) OVER (ORDER BY closed_at) AS so_far
  FROM traded WHERE closed_at IS NOT NULL
), curve AS (
  SELECT so_far, greatest(0, max(so_far) OVER (ORDER BY closed_at)) AS peak FROM brought
), fall AS (
  SELECT coalesce(max(peak - so_far), 0) AS fall_usd,
    coalesce(max((peak - so_far) / (capital + peak)), 0) AS fall_share
  FROM curve, fleet
), days AS (
  SELECT day::bigint, sum(trades)::bigint AS trades, sum(wins)::bigint AS wins,
    sum(losses)::bigint AS losses, sum(won_usd) AS won_usd, sum(lost_usd) AS lost_usd,
    sum(held_s) AS held_s
  FROM agent_days WHERE day IS NOT NULL GROUP BY 1
)
SELECT * FROM fleet CROSS JOIN fall LEFT JOIN days ON true ORDER BY day
"""


async def read_traded(
    database: Database,
    user_id: UUID,
    now_s: float,
    agent_id: UUID | None = None,
    *,
    within_s: float = 5.0,
) -> Traded:
    """What one agent of an account has traded, or all of them together, as of now (Unix seconds).

    Agents that there are not, or that belong to somebody else, have traded nothing.

    Raises:
        DatabaseBusy: it takes PostgreSQL longer than `within_s`.
    """
    async with transaction(database) as con:
        await con.execute(
            "SELECT set_config('work_mem', $1, true), set_config('statement_timeout', $2, true)",
            _MEMORY, f"{within_s * 1000:.0f}",
        )  # fmt: skip
        found = await con.fetch(_SUMS, user_id, agent_id, now_s, timeout=within_s + 1)
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

"""What the handlers of one hub process share. Built once by app.open_hub, never module state."""

import asyncio
import logging
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from adapters.attempts import Attempts
from adapters.broadcasts import Broadcasts
from adapters.candle_service import CandleService
from adapters.db.connection import Database
from adapters.own_keys import UserKeys
from adapters.passwords import PasswordHasher
from adapters.price_desk import PriceDesk
from adapters.queue import JobQueue
from adapters.redis_client import Redis
from adapters.settings import Settings
from adapters.shard_rows import ShardRows
from adapters.shard_store import ShardStore
from adapters.tokens import AccessTokens
from adapters.vault import Vault
from api.agent_answers import AgentAnswers
from api.agent_bodies import LIVE_NOT_BUILT
from api.api_keys import ApiKeys
from api.callbacks import HostedAgents
from api.callers import Callers
from api.clock import HubClock
from api.command_desk import CommandDesk
from api.directory import AgentDirectory
from api.errors import away
from api.known_plans import KnownPlans
from api.listed_agents import ListsOfAgents
from api.live import LiveFeed
from api.logins import Logins
from api.request_limit import RequestLimit
from api.shims import ShimNotes
from api.sights import Sights
from api.statuses import Statuses
from api.trade_sums import TradeSums
from api.turns import Turns

UNSETTLED = "it is not settled yet where prices come from"

log = logging.getLogger("artic.hub")

SCOPE_HUB = "artic.hub"


Checks = dict[str, asyncio.Future[None]]
"""The question that is put to a dependency just now, by its name."""


@dataclass(slots=True)
class Hub:
    """Connections, secrets and caches of one process."""

    settings: Settings
    database: Database
    state_redis: Redis
    shards: ShardStore
    broadcasts: Broadcasts
    queue: JobQueue
    directory: AgentDirectory
    plans: KnownPlans
    desk: CommandDesk
    clock: HubClock
    prices: PriceDesk
    vault: Vault
    own_keys: UserKeys
    candles: CandleService
    sights: Sights
    rows: ShardRows
    statuses: Statuses
    answers: AgentAnswers
    lists: ListsOfAgents
    trade_sums: TradeSums
    live: LiveFeed
    tokens: AccessTokens
    passwords: PasswordHasher
    logins: Logins
    callers: Callers
    api_keys: ApiKeys
    attempts: Attempts
    requests: RequestLimit
    shims: ShimNotes
    hosted: HostedAgents
    turns: Turns = field(default_factory=Turns)
    checks: Checks = field(default_factory=dict)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every symbol that agents may trade. Problem 503 while the price source has not said."""
        known = self.prices.symbols
        if known is None:
            raise away("the list of symbols")
        return known

    @property
    def no_live_mode(self) -> str:
        """Why no agent may trade for real, here and now."""
        if self.prices.live is not None:
            return LIVE_NOT_BUILT
        return f"live_mode needs the prices of a market, and here {self.prices.says or UNSETTLED}"


def hub_of(connection: HTTPConnection) -> Hub:
    """The hub that serves a request or a WebSocket."""
    scope = connection.scope
    hub = scope.get(SCOPE_HUB)
    if hub is None:
        hub = scope[SCOPE_HUB] = scope["app"].state.hub
    assert isinstance(hub, Hub)
    return hub

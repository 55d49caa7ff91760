"""The hub as an ASGI application, and the one place where its parts are put together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp, Lifespan

from adapters import redis_keys as keys
from adapters.allowances import Allowances
from adapters.attempts import Attempts
from adapters.broadcasts import Broadcasts
from adapters.candle_service import CandleService
from adapters.db.connection import close_database, open_database
from adapters.own_keys import UserKeys
from adapters.passwords import PasswordHasher
from adapters.price_desk import PriceDesk
from adapters.prices import PriceSource
from adapters.queue import JobQueue
from adapters.redis_client import Redis, open_redis
from adapters.redis_clock import RedisClock
from adapters.settings import Settings
from adapters.shard_rows import ShardRows
from adapters.shard_store import ShardStore
from adapters.shim_states import ShimStates
from adapters.tokens import AccessTokens
from adapters.vault import Vault
from api.access_log import SocketLog
from api.agent_answers import AgentAnswers
from api.api_keys import ApiKeys
from api.call import Call
from api.callbacks import Callbacks, HostedAgents
from api.callers import Callers
from api.calls import CALLS
from api.clock import HubClock
from api.command_desk import CommandDesk
from api.directory import AgentDirectory
from api.docs import documentation
from api.front import Front
from api.hub import Hub
from api.known_plans import KnownPlans
from api.listed_agents import ListsOfAgents
from api.live import LiveFeed
from api.logins import Logins
from api.paths import Paths
from api.request_ids import SocketIds
from api.request_limit import PERIOD_S, RequestLimit
from api.request_quotas import RequestQuotas
from api.shims import ShimKeeper, ShimNotes
from api.sights import Sights
from api.statuses import Statuses
from api.trade_sums import TradeSums

log = logging.getLogger("artic.hub")

REDIS_CONNECTIONS_MAX = 512
QUESTION_S = 8.0
"""How long a caller waits for a PostgreSQL that hangs; nothing that they may ask takes so long."""
RESTART_S = 1.0
END_S = 2.0


class HubApp(Starlette):
    """The application: HTTP is served by the front, the rest by Starlette behind it."""

    def __init__(self, calls: Sequence[Call], lifespan: Lifespan["HubApp"]) -> None:
        super().__init__(
            routes=[WebSocketRoute(call.path, call.handler) for call in calls if call.is_socket],
            middleware=[Middleware(SocketIds), Middleware(SocketLog)],
            lifespan=lifespan,
        )
        self.paths = Paths(call for call in calls if not call.is_socket)

    def build_middleware_stack(self) -> ASGIApp:
        """Called once, before the first request."""
        return Front(super().build_middleware_stack(), self.paths)


def create_app(settings: Settings, source: PriceSource | None = None) -> HubApp:
    """The hub. Connections are opened when it starts and closed when it ends.

    source: a function of the slot that was opened already; by default what the settings name.
    """

    @asynccontextmanager
    async def lifespan(app: HubApp) -> AsyncIterator[None]:
        async with open_hub(settings, source) as hub:
            app.state.hub = hub
            log.info("hub ready on %s", settings.own_hub_url)
            yield

    app = HubApp(CALLS, lifespan)
    app.state.documentation = documentation(CALLS)
    app.router.redirect_slashes = False  # a path is spelled in one way
    return app


@asynccontextmanager
async def open_hub(settings: Settings, source: PriceSource | None = None) -> AsyncIterator[Hub]:
    """Everything that the handlers share, with its background tasks. Nothing needs to be there
    yet: PostgreSQL and Redis may come later, and callers hear 503 until then.
    """
    async with AsyncExitStack() as stack:
        database = await open_database(settings.database_url, command_s=QUESTION_S)
        stack.push_async_callback(close_database, database)
        state_redis = open_redis(settings.redis_url, max_connections=REDIS_CONNECTIONS_MAX)
        stack.push_async_callback(state_redis.aclose)
        queue_redis = open_redis(settings.queue_redis_url, max_connections=REDIS_CONNECTIONS_MAX)
        stack.push_async_callback(queue_redis.aclose)
        passwords = PasswordHasher()
        stack.callback(passwords.close)
        clock = HubClock(RedisClock(state_redis))
        shards = ShardStore(state_redis, settings.row_schema)
        prices = PriceDesk(settings, state_redis, clock.now, source)
        sights = Sights(prices.market, clock)
        hearing = open_redis(settings.redis_url, max_connections=1, retries=False)
        stack.push_async_callback(hearing.aclose)
        broadcasts = Broadcasts(hearing)
        vault = Vault(settings.master_key)
        own_keys = UserKeys(database, state_redis, broadcasts, vault)
        candles = CandleService(settings, state_redis, prices, clock.now, own_keys)
        stack.push_async_callback(candles.close)
        rows = ShardRows(shards, broadcasts)
        directory = AgentDirectory(database, state_redis, broadcasts)
        queue, per_user = JobQueue(queue_redis), settings.agents_per_user
        shim_states = ShimStates(state_redis) if settings.agent_shim == "docker" else None
        shims = ShimNotes(shim_states)
        live = LiveFeed(broadcasts, shards, sights, database, directory, shims)
        api_keys = ApiKeys(database, broadcasts)
        logins = Logins(broadcasts, state_redis, database, api_keys)
        hub = Hub(
            settings=settings,
            database=database,
            state_redis=state_redis,
            shards=shards,
            broadcasts=broadcasts,
            queue=queue,
            directory=directory,
            plans=KnownPlans(),
            desk=CommandDesk(database, state_redis, shards, directory, queue, per_user),
            clock=clock,
            prices=prices,
            vault=vault,
            own_keys=own_keys,
            candles=candles,
            sights=sights,
            rows=rows,
            statuses=Statuses(state_redis, directory, rows, sights),
            answers=AgentAnswers(),
            lists=ListsOfAgents(),
            trade_sums=TradeSums(database, clock),
            live=live,
            tokens=AccessTokens(settings.jwt_secrets),
            passwords=passwords,
            logins=logins,
            callers=Callers(logins),
            api_keys=api_keys,
            attempts=_attempts(settings, state_redis),
            requests=RequestLimit(settings.requests_per_minute),
            shims=shims,
            hosted=HostedAgents(settings, database, vault),
        )
        tasks = _keep(hub)
        if shim_states is not None:
            tasks += _keep_shims(stack, hub, shim_states)
        stack.push_async_callback(_end, tasks)
        yield hub


def _keep(hub: Hub) -> list[asyncio.Task[None]]:
    """What goes on in every hub beside its calls."""
    share = partial(hub.requests.keep_sharing, Allowances(hub.state_redis, PERIOD_S))
    quotas = RequestQuotas(hub.database, hub.broadcasts)
    tasks = [
        asyncio.create_task(hub.clock.keep()),
        asyncio.create_task(_keep_going("the subscription", hub.broadcasts.run)),
        asyncio.create_task(hub.prices.keep()),
        asyncio.create_task(_keep_going("the stream", hub.live.run)),
        asyncio.create_task(_keep_going("the watch on logins", hub.logins.run)),
        asyncio.create_task(_keep_going("the count of requests", share)),
        asyncio.create_task(
            _keep_going("the limits of accounts", partial(quotas.keep, hub.requests))
        ),
    ]
    if hub.hosted.are_taken:
        told = Callbacks(hub.hosted, hub.database, hub.state_redis, hub.live, hub.broadcasts)
        tasks.append(asyncio.create_task(_keep_going("the word to other hubs", told.run)))
    return tasks


def _attempts(settings: Settings, redis: Redis) -> Attempts:
    return Attempts(
        redis, account=settings.attempts_per_account, address=settings.attempts_per_address
    )


def _keep_shims(stack: AsyncExitStack, hub: Hub, states: ShimStates) -> list[asyncio.Task[None]]:
    """Keeps the containers of agents; woken by every change of an agent."""
    from adapters.containers import Containers  # here, so that only hubs with containers load it

    engine = Containers(hub.settings)
    stack.push_async_callback(engine.aclose)

    def wake(*_: object) -> None:
        states.wake()

    hub.broadcasts.listen(keys.agents_channel(), wake, wake)
    keeper = ShimKeeper(hub.database, states, engine)
    return [
        asyncio.create_task(_keep_going("the look at containers", keeper.run)),
        asyncio.create_task(_keep_going("the word of containers", hub.shims.run)),
    ]


async def _keep_going(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Runs it again whenever it ends: clients stay connected through whatever ended it."""
    while True:
        try:
            await run()
        except Exception as error:
            log.exception("%s broke and starts again: %s", what, error)
        await asyncio.sleep(RESTART_S)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    # redis-py may swallow a cancel that comes while it connects; then the end of the event loop
    # cancels once more, and we do not wait for ever.
    await asyncio.wait(tasks, timeout=END_S)

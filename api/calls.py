"""Every call of the hub, in one table: the routes and the documentation are made of it."""

from typing import Any

from api import (
    accounts,
    agent_bulk,
    agent_changes,
    agent_lists,
    agent_logs,
    agents,
    docs,
    halts,
    health,
    market,
    metrics,
    secrets,
    sources,
    strategies,
    users,
    websocket,
)
from api import call_examples as ex
from api import group_examples as gx
from api.agent_answers import AgentAnswer
from api.agent_bodies import CreateAgent
from api.agent_plans import ApplyPlan
from api.answers import Done
from api.bodies import Nothing
from api.call import Answer, Call, Takes
from api.internal_calls import INTERNAL_CALLS
from api.status import AgentStatus
from api.websocket_protocol import Follow
from engine.metrics import Metrics

AGENT = "/api/agents/{agent_id}"
NOTHING = Takes((Nothing,), {"empty": {}}, may_be_empty=True)
AN_AGENT = Answer("The agent", AgentAnswer, ex.AGENT)

ACCOUNT_CALLS = [
    Call(
        method="POST", path="/auth/register", handler=accounts.register, guard="nobody",
        group="accounts", says="Open an account",
        takes=Takes((accounts.Register,), {"account": ex.LOGIN}),
        answers={201: Answer("The account's first tokens", accounts.TokensAnswer, ex.TOKENS)},
        refusals=(401, 409, 429, 503),
    ),
    Call(
        method="POST", path="/auth/login", handler=accounts.log_in, guard="nobody",
        group="accounts", says="Log in",
        takes=Takes((accounts.LogIn,), {"account": ex.LOGIN}),
        answers={200: Answer("Tokens", accounts.TokensAnswer, ex.TOKENS)},
        refusals=(401, 429, 503),
    ),
    Call(
        method="POST", path="/auth/refresh", handler=accounts.refresh, guard="nobody",
        group="accounts", says="Get a new pair of tokens",
        takes=Takes((accounts.RefreshBody,), {"token": ex.REFRESH}),
        answers={200: Answer("Tokens", accounts.TokensAnswer, ex.TOKENS)},
        refusals=(401, 429, 503),
    ),
    Call(
        method="POST", path="/auth/logout", handler=accounts.log_out, guard="nobody",
        group="accounts", says="End a login everywhere",
        takes=Takes((accounts.RefreshBody,), {"token": ex.REFRESH}),
        answers={204: Answer("The login has ended")},
        refusals=(429, 503),
    ),
    Call(
        method="GET", path="/api/me", handler=accounts.me, group="accounts", says="Who am I",
        answers={200: Answer("The account", accounts.MeAnswer, ex.ME)},
    ),
    Call(
        method="POST", path="/api/keys", handler=accounts.make_api_key, group="accounts",
        says="Get an API key", takes=NOTHING,
        answers={200: Answer("The key, shown this once", accounts.KeyAnswer, ex.API_KEY)},
    ),
    Call(
        method="GET", path="/api/secrets/public-key", handler=secrets.get_public_key,
        group="accounts", says="Get the key that secrets are sealed to",
        answers={200: Answer("An X25519 key", secrets.PublicKeyAnswer, ex.PUBLIC_KEY)},
    ),
    Call(
        method="GET", path="/api/secrets", handler=secrets.list_secrets, group="accounts",
        says="Which secrets are kept",
        answers={200: Answer("Their names", secrets.SecretNames, ex.SECRETS)},
    ),
    Call(
        method="POST", path="/api/secrets", handler=secrets.put, group="accounts",
        says="Keep a secret", takes=Takes((secrets.PutSecret,), {"sealed": ex.SECRET}),
        answers={200: Answer("What is kept now", secrets.SecretNames, ex.SECRETS)},
    ),
    Call(
        method="DELETE", path="/api/secrets/{key_name}", handler=secrets.delete,
        group="accounts", says="Forget a secret", answers={204: Answer("It is gone")},
        refusals=(404,),
    ),
]  # fmt: skip

AGENT_CALLS = [
    Call(
        method="GET", path="/api/agents", handler=agent_lists.list_agents, group="agents",
        says="List agents", query=agent_lists.ListAgents, query_example={"limit": "10"},
        answers={
            200: Answer(
                "The caller's agents", list[AgentAnswer], [ex.AGENT],
                {"Link": 'the next page, `<...>; rel="next"`, where there is one'},
            )
        },
    ),
    Call(
        method="POST", path="/api/agents", handler=agents.create_agent, group="agents",
        says="Create an agent", takes=Takes((CreateAgent,), ex.CREATE),
        request_headers={
            agents.IDEMPOTENCY_HEADER: "repeats of a request with the same value are one request"
        },
        answers={
            201: Answer(
                "The new agent", AgentAnswer,
                ex.AGENT | {"status": "creating", "status_detail": "waiting for its first slot"},
                {"Location": "the agent's path"},
            )
        },
        refusals=(409,),
    ),
    Call(
        method="POST", path="/api/agents/bulk", handler=agent_bulk.create_agents,
        group="agents", says="Create up to 10,000 agents, each made or refused for itself",
        takes=Takes((agent_bulk.DescribedAgents,), gx.CREATE_MANY),
        request_headers={
            agents.IDEMPOTENCY_HEADER: "repeats of a request with the same value are one request"
        },
        answers={
            200: Answer("What became of each, in their order", agent_bulk.BulkAnswer, gx.BULK)
        },
    ),
    Call(
        method="POST", path="/api/agents/kill-all", handler=agent_changes.kill_all,
        group="agents", says="Stop every agent",
        takes=Takes((agent_changes.KillAll,), {"sure": {"confirm": "KILL_ALL"}}),
        answers={200: Answer("How many were told", agent_changes.StoppedAgents, {"stopped": 3})},
    ),
    Call(
        method="POST", path="/api/agents/stop-all", handler=agent_changes.stop_all,
        group="agents", says="Stop every agent, closing positions or keeping them",
        takes=Takes(
            (agents.StopAgent,), {"keep": {"close_position": False}}, may_be_empty=True
        ),
        answers={200: Answer("How many were told", agent_changes.StoppedAgents, {"stopped": 3})},
    ),
    Call(
        method="POST", path="/api/agents/start-all", handler=agent_changes.start_all,
        group="agents", says="Start every agent that does not run", takes=NOTHING,
        answers={200: Answer("How many were told", agent_changes.StartedAgents, {"started": 3})},
    ),
    Call(
        method="GET", path=AGENT, handler=agents.get_agent, group="agents",
        says="Get an agent", answers={200: AN_AGENT},
    ),
    Call(
        method="PATCH", path=AGENT, handler=agent_changes.edit_agent, group="agents",
        says="Change an agent while it runs",
        takes=Takes(
            (CreateAgent,), ex.EDIT, merge_patch=True, not_in_patch=("auto_start",)
        ),
        answers={200: AN_AGENT}, refusals=(409,),
    ),
    Call(
        method="PUT", path=f"{AGENT}/plan", handler=agent_changes.apply_plan, group="agents",
        says="Apply a plan: strategy, lookback, threshold and the loss of a position (a fraction)",
        takes=Takes((ApplyPlan,), ex.PLAN), answers={200: AN_AGENT}, refusals=(409,),
    ),
    Call(
        method="DELETE", path=AGENT, handler=agents.delete_agent, group="agents",
        says="Delete an agent", answers={204: Answer("Its trades stay in the record")},
    ),
    Call(
        method="POST", path=f"{AGENT}/start", handler=agents.start_agent, group="agents",
        says="Start an agent", takes=NOTHING, answers={200: AN_AGENT},
    ),
    Call(
        method="POST", path=f"{AGENT}/stop", handler=agents.stop_agent, group="agents",
        says="Stop an agent",
        takes=Takes(
            (agents.StopAgent,), {"keep": {"close_position": False}}, may_be_empty=True
        ),
        answers={200: AN_AGENT},
    ),
    Call(
        method="GET", path=f"{AGENT}/status", handler=agents.get_status, group="agents",
        says="What an agent does right now",
        answers={200: Answer("The status", AgentStatus, ex.STATUS)},
    ),
    Call(
        method="GET", path=f"{AGENT}/logs", handler=agent_logs.get_logs, group="agents",
        says="An agent's log", query=agent_logs.ReadLogs, query_example={"level": "start"},
        answers={200: Answer("Entries", agent_logs.LogsAnswer, {"entries": [ex.ENTRY]})},
    ),
    Call(
        method="GET", path=f"{AGENT}/trades", handler=agent_logs.get_trades, group="agents",
        says="An agent's trades", query=agent_logs.ReadTrades, query_example={"limit": "10"},
        answers={
            200: Answer("Trades", agent_logs.TradesAnswer, {"trades": [ex.TRADE], "next": None})
        },
    ),
    Call(
        method="GET", path=f"{AGENT}/metrics", handler=metrics.get_metrics, group="agents",
        says="An agent's trades as numbers",
        answers={200: Answer("The numbers", Metrics, ex.METRICS)},
    ),
    Call(
        method="GET", path="/api/fleet/metrics", handler=metrics.get_fleet_metrics,
        group="agents", says="The trades of all agents together as numbers",
        answers={200: Answer("The numbers", metrics.FleetMetrics, ex.FLEET_METRICS)},
    ),
]  # fmt: skip

HALT_CALLS = [
    Call(
        method="PUT", path=f"{AGENT}/halt", handler=halts.halt_agent, group="halts",
        says="Hold an agent back, or let it go on",
        takes=Takes((halts.SetHalt,), gx.HALTS), answers={200: AN_AGENT}, refusals=(409,),
    ),
    Call(
        method="PUT", path="/api/me/halt", handler=halts.halt_me, group="halts",
        says="Hold back all of the caller's agents, and those to come",
        takes=Takes((halts.SetHalt,), gx.HALTS),
        answers={200: Answer("What holds now", halts.AccountHalt, gx.ACCOUNT_HALT)},
        refusals=(409,),
    ),
    Call(
        method="PUT", path="/api/users/{user_id}/halt", handler=halts.halt_user, group="halts",
        says="Hold back all agents of an account; for operators",
        takes=Takes((halts.SetHalt,), gx.HALTS),
        answers={200: Answer("What holds now", halts.AccountHalt, gx.ACCOUNT_HALT)},
        refusals=(403, 409),
    ),
    Call(
        method="PUT", path="/api/halt", handler=halts.halt_fleet, group="halts",
        says="Hold back every agent of everybody; for operators",
        takes=Takes((halts.SetHalt,), gx.HALTS),
        answers={200: Answer("What holds now", halts.FleetHalt, {"state": "halted"})},
        refusals=(403, 409),
    ),
    Call(
        method="GET", path="/api/halt", handler=halts.get_fleet_halt, group="halts",
        says="How far everybody is held back",
        answers={200: Answer("What holds now", halts.FleetHalt, {"state": "active"})},
    ),
    Call(
        method="GET", path="/api/halt/changes", handler=halts.list_halts, group="halts",
        says="Who has held back what, and why", query=halts.ReadHalts,
        query_example={"limit": "10"},
        answers={200: Answer("Newest first", halts.HaltsAnswer, {"changes": [gx.HALT_CHANGE]})},
    ),
]  # fmt: skip

USER_CALLS = [
    Call(
        method="GET", path="/api/users", handler=users.list_users, group="operators",
        says="Accounts, with what they have and may have", query=users.ListUsers,
        query_example={"limit": "10"},
        answers={
            200: Answer("A page of them", users.UsersAnswer, {"users": [gx.USER], "next": None})
        },
        refusals=(403,),
    ),
    Call(
        method="PUT", path="/api/users/{user_id}/quotas", handler=users.set_quotas,
        group="operators", says="Set what an account may have",
        takes=Takes((users.SetQuotas,), gx.QUOTAS),
        answers={200: Answer("The account", users.UserAnswer, gx.USER)}, refusals=(403,),
    ),
]  # fmt: skip

OTHER_CALLS = [
    Call(
        method="GET", path="/api/strategies", handler=strategies.list_strategies,
        group="strategies", says="List strategies",
        answers={
            200: Answer("The catalogue", list[strategies.StrategyAnswer], ex.STRATEGIES)
        },
    ),
    Call(
        method="GET", path="/api/market/candles", handler=market.get_candles, group="market",
        says="Candles of the last 500 bars", query=market.ReadCandles,
        query_example={"symbol": "BTC", "timeframe": "1h", "limit": "100"},
        answers={200: Answer("Candles, oldest first", market.CandlesAnswer, ex.CANDLES)},
    ),
    Call(
        method="GET", path="/api/market/price", handler=market.get_price, group="market",
        says="The newest price", query=market.ReadPrice, query_example={"symbol": "BTC"},
        answers={200: Answer("The price", market.PriceAnswer, ex.PRICE)},
    ),
    Call(
        method="GET", path="/api/market/symbols", handler=market.list_symbols, group="market",
        says="Symbols that agents may trade",
        answers={
            200: Answer("The symbols", market.SymbolsAnswer, {"symbols": ["BTC/USDT"]})
        },
    ),
    Call(
        method="GET", path="/api/market/sources", handler=sources.list_sources, group="market",
        says="How the sources of prices and candles are doing",
        answers={200: Answer("The sources", sources.SourcesAnswer, ex.SOURCES)},
    ),
    Call(
        method="GET", path="/ws", handler=websocket.stream, guard="nobody", group="stream",
        says="Follow agents over a WebSocket", query=Follow,
        answers={101: Answer("Messages `{type, agent_id, seq, ts, data}` follow")},
        refusals=(404,),
    ),
    Call(
        method="GET", path="/health", handler=health.health, guard="nobody", group="hub",
        says="Whether the hub lives", answers={200: Answer("It does", Done, {"ok": True})},
    ),
    Call(
        method="GET", path="/ready", handler=health.ready, guard="nobody", group="hub",
        says="Whether the hub can serve",
        answers={
            200: Answer("It can", health.ReadyAnswer, ex.READY),
            503: Answer(
                "Something is away", health.ReadyAnswer, ex.NOT_READY,
                {"Retry-After": "seconds"},
            ),
        },
    ),
    Call(
        method="GET", path="/openapi.json", handler=docs.get_document, guard="nobody",
        group="hub", says="This description",
        answers={200: Answer("OpenAPI 3.1", dict[str, Any])},
    ),
    Call(
        method="GET", path="/docs", handler=docs.get_page, guard="nobody", group="hub",
        says="This description, to be read",
        answers={200: Answer("A page", str, media_type="text/html")},
    ),
]  # fmt: skip

CALLS = [*ACCOUNT_CALLS, *AGENT_CALLS, *HALT_CALLS, *USER_CALLS, *OTHER_CALLS, *INTERNAL_CALLS]

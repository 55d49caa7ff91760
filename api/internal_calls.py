"""The calls of the internal network, as api/calls.py has those of clients."""

from api import call_examples as ex
from api import hosted, internal, load, measures, reports
from api.agent_endpoint import Configure, EndpointStatus, Start
from api.answers import Done
from api.bodies import Nothing
from api.call import Answer, Call, Takes
from api.reported_status import ReportStatus

ENDPOINT = "/internal/agents/{agent_id}/endpoint"
DONE = Answer("It is kept", Done, {"ok": True})
ENDPOINT_LOGS = {"logs": [ex.ENTRY], "running": True}
CONFIG = {"poll_seconds": 5, "sl_pct": 0.01}
CONFIGURED = {"status": "ok", "updated": CONFIG}

HOST = {
    "hub_url": "http://old-hub:9000",
    "internal_secret": "the secret of that hub",
    "symbol": "BTC/USDT",
}
HOSTED = {"agent_id": "5f2b8a0e-3c55-4a8e-9c1a-2f6d1f7f0b11"}

INTERNAL_CALLS = [
    Call(
        method="GET", path=f"{ENDPOINT}/health", handler=internal.health, guard="internal",
        or_pool_secret=True,
        group="agent endpoint", says="Whether the agent runs",
        answers={200: Answer("It is known", internal.RunningAnswer, {"ok": True, "running": True})},
    ),
    Call(
        method="POST", path=f"{ENDPOINT}/start", handler=internal.start, guard="internal",
        or_pool_secret=True,
        group="agent endpoint", says="Start the agent",
        takes=Takes((Start, Nothing), ex.START, may_be_empty=True, nulls_left_out=True),
        answers={200: Answer("It starts", internal.StartedAnswer, ex.STARTED)},
        refusals=(409,),
    ),
    Call(
        method="POST", path=f"{ENDPOINT}/stop", handler=internal.stop, guard="internal",
        or_pool_secret=True,
        group="agent endpoint", says="Stop the agent", query=internal.StopQuery,
        query_example={"closePosition": "false"},
        takes=Takes((Nothing,), {"empty": {}}, may_be_empty=True),
        answers={
            200: Answer("It stops", internal.StoppedAnswer, {"stopped": True, "closed": False})
        },
    ),
    Call(
        method="GET", path=f"{ENDPOINT}/status", handler=internal.status, guard="internal",
        or_pool_secret=True,
        group="agent endpoint", says="The agent's status",
        answers={200: Answer("The status", EndpointStatus, ex.ENDPOINT_STATUS)},
    ),
    Call(
        method="GET", path=f"{ENDPOINT}/logs", handler=internal.logs, guard="internal",
        or_pool_secret=True,
        group="agent endpoint", says="The agent's log", query=internal.LogsQuery,
        query_example={"limit": "10"},
        answers={200: Answer("Entries", internal.EndpointLogs, ENDPOINT_LOGS)},
    ),
    Call(
        method="POST", path=f"{ENDPOINT}/plan", handler=internal.plan, guard="internal",
        or_pool_secret=True,
        group="agent endpoint", says="Plan once; not available yet",
    ),
    Call(
        method="POST", path=f"{ENDPOINT}/config", handler=internal.config, guard="internal",
        or_pool_secret=True,
        group="agent endpoint", says="Change the agent while it runs",
        takes=Takes((Configure,), {"slower": CONFIG}, nulls_left_out=True),
        answers={200: Answer("It is changed", internal.ConfiguredAnswer, CONFIGURED)},
        refusals=(409,),
    ),
    Call(
        method="GET", path="/internal/load", handler=load.load, guard="internal",
        group="operation", says="How far the pool is behind, for what scales workers",
        answers={200: Answer("The lag", load.LoadAnswer, {"tick_queue_lag_s": 0.0})},
    ),
    Call(
        method="GET", path="/internal/metrics", handler=measures.metrics, guard="internal",
        or_bearer=True,
        group="operation", says="The pool in numbers, as Prometheus reads them",
        answers={
            200: Answer(
                "Metrics in the text format", str, measures.EXAMPLE, media_type="text/plain"
            )
        },
    ),
    Call(
        method="PUT", path="/internal/hosted/{outside_id}", handler=hosted.host, guard="internal",
        or_pool_secret=True, group="agents of other hubs",
        says="Run an agent of another hub here, and tell that hub of it",
        takes=Takes((hosted.Host,), {"agent": HOST}),
        answers={200: Answer("The agent that stands for it", hosted.HostedAnswer, HOSTED)},
        refusals=(404, 409),
    ),
    Call(
        method="POST", path="/internal/agents/{agent_id}/status", handler=reports.report_status,
        guard="internal", group="reports", says="Report the status of an agent elsewhere",
        takes=Takes((ReportStatus,), {"flat": ex.REPORT}, nulls_left_out=True),
        answers={200: DONE}, refusals=(409,),
    ),
    Call(
        method="POST", path="/internal/trades", handler=reports.report_trade,
        guard="internal", group="reports", says="Report an opening or a close",
        takes=Takes((reports.ReportTrade,), {"opened": ex.OPENED}, nulls_left_out=True),
        answers={200: DONE}, refusals=(404, 409),
    ),
    Call(
        method="POST", path="/internal/logs", handler=reports.report_logs,
        guard="internal", group="reports", says="Report log lines",
        takes=Takes((reports.ReportLogs,), {"one": ex.LINES}, nulls_left_out=True),
        answers={200: DONE}, refusals=(404, 409),
    ),
]  # fmt: skip

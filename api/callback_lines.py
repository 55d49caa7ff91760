"""One other hub and what it is still to be told: the newest status of each agent, tick lines ten
at a time, and whatever the record has of trades and log lines that it has not been told yet.

Bounded by the number of agents: a status replaces the one before, tick lines of an agent that can't
be told are dropped from the oldest on, trades and other lines stay in the record. While the hub is
away nothing is sent but one try now and then.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from adapters.db import callbacks
from adapters.db.connection import Database
from adapters.db.errors import DatabaseError
from adapters.other_hub import CONNECTIONS_MAX, HubAway, OtherHub, Outcome
from api.callback_payloads import logs_report, trade_report
from api.tick_lines import LogEntry
from api.websocket_protocol import TICK_LINES_BATCH

log = logging.getLogger("artic.callbacks")

TICK_LINES_MAX = 600
"""Of one agent, while its hub is away: ten minutes at a tick each second."""
LINES_OF_ONE_CALL = 500
REST_S_MIN, REST_S_MAX = 0.5, 30.0
SAID_EVERY_S = 300.0
"""How often a hub's refusal is logged."""


@dataclass(eq=False, slots=True)
class AgentNews:
    """What one agent's hub is to be told. secret is that hub's, in the clear: never logged."""

    agent_id: UUID
    outside_id: UUID
    secret: str = field(repr=False)
    status: bytes | None = None
    ticks: deque[LogEntry] = field(default_factory=lambda: deque(maxlen=TICK_LINES_MAX))
    record_due: bool = False
    unsure: bool = True
    """Whether its hub may have taken the next trade already: an answer was lost, perhaps by the
    process before this one."""

    @property
    def is_due(self) -> bool:
        return self.record_due or self.status is not None or len(self.ticks) >= TICK_LINES_BATCH


class HubLine:
    """The line to one hub: a few senders, each with one agent at a time, so that what is told of an
    agent comes in order.
    """

    def __init__(
        self, hub: OtherHub, database: Database, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hub = hub
        self._database = database
        self._clock = clock
        self._waiting: dict[UUID, AgentNews] = {}
        self._busy: set[UUID] = set()
        self._bell = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._rest_s = 0.0
        self._said_at: dict[str, float] = {}

    @property
    def is_resting(self) -> bool:
        """Whether its hub is away and nothing is sent for a while."""
        return not self._open.is_set()

    def put(self, news: AgentNews) -> None:
        """Something of the agent is to be told."""
        if news.is_due and news.agent_id not in self._busy:
            self._waiting[news.agent_id] = news
            self._bell.set()

    def forget(self, agent_id: UUID) -> None:
        """Nothing of the agent is to be told any more."""
        self._waiting.pop(agent_id, None)

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as senders:
                for _ in range(CONNECTIONS_MAX):
                    senders.create_task(self._send())
        finally:
            await self._hub.aclose()

    async def _send(self) -> None:
        while True:
            await self._open.wait()
            if not self._waiting:
                self._bell.clear()
                await self._bell.wait()
                continue
            news = self._waiting.pop(next(iter(self._waiting)))
            self._busy.add(news.agent_id)
            try:
                await self._tell(news)
            except HubAway as error:
                self._rest(error)
            except DatabaseError as error:
                self._say("record", f"trades and logs wait for the record: {error}")
            finally:
                self._busy.discard(news.agent_id)
            self.put(news)

    async def _tell(self, news: AgentNews) -> None:
        """Everything that is due of one agent. Raises HubAway, DatabaseError."""
        if news.record_due:
            news.record_due = False  # what the record can't say now is asked for again later
            try:
                await self._tell_trades(news)
                await self._tell_lines(news)
            except HubAway:
                news.record_due = True
                raise
        if len(news.ticks) >= TICK_LINES_BATCH:
            lines = [news.ticks.popleft() for _ in range(min(len(news.ticks), LINES_OF_ONE_CALL))]
            try:
                await self._post(news, "/internal/logs", logs_report(lines, news.outside_id))
            except HubAway:
                room = TICK_LINES_MAX - len(news.ticks)
                news.ticks.extendleft(reversed(lines[max(len(lines) - room, 0) :]))
                raise
        status, news.status = news.status, None
        if status is not None:
            try:
                await self._post(news, f"/internal/agents/{news.outside_id}/status", status)
            except HubAway:
                news.status = news.status or status
                raise

    async def _tell_trades(self, news: AgentNews) -> None:
        """In order, each as often as it takes; a hub that may have heard of one says so by 409."""
        while due := await callbacks.trades_due(self._database, news.agent_id):
            for each in due:
                trade = each.trade
                for closed in ([False] if each.opening else []) + (
                    [True] if trade.closed_at is not None else []
                ):
                    body = trade_report(trade, news.outside_id, closed=closed)
                    event = f"{trade.id}:{'closed' if closed else 'opened'}"
                    try:
                        outcome = await self._post(
                            news, "/internal/trades", body, {"Idempotency-Key": event}
                        )
                    except HubAway:
                        news.unsure = True
                        raise
                    if outcome == "refused" or (outcome == "known" and not news.unsure):
                        return  # never dropped: the next look at the record tries again
                    news.unsure = False
                    await callbacks.trade_told(
                        self._database, news.agent_id, trade.seq, closed=closed
                    )

    async def _tell_lines(self, news: AgentNews) -> None:
        while lines := await callbacks.lines_due(self._database, news.agent_id):
            await self._post(news, "/internal/logs", logs_report(lines, news.outside_id))
            await callbacks.lines_told(self._database, news.agent_id, lines[-1])

    async def _post(
        self, news: AgentNews, path: str, body: bytes, headers: dict[str, str] | None = None
    ) -> Outcome:
        outcome, status = await self._hub.tell(path, body, news.secret, headers or {})
        if self._rest_s:
            log.info("hub %s takes news again", self._hub.url)
            self._rest_s = 0.0
        if outcome != "taken":
            self._say(f"{path} {status}", f"hub {self._hub.url} refuses {path}: status {status}")
        return outcome

    def _rest(self, error: HubAway) -> None:
        """Closes the line for a while, longer each time."""
        if not self._open.is_set():
            return  # another sender has just met the same
        if not self._rest_s:
            log.warning("hub %s takes no news: %s", self._hub.url, error)
        self._rest_s = min(max(2 * self._rest_s, REST_S_MIN), REST_S_MAX)
        self._open.clear()
        seconds = self._rest_s * random.uniform(0.75, 1.25)
        asyncio.get_running_loop().call_later(max(seconds, error.rest_s or 0.0), self._open.set)

    def _say(self, what: str, text: str) -> None:
        """Logs what goes on and on only now and then."""
        now = self._clock()
        if now - self._said_at.get(what, -SAID_EVERY_S) >= SAID_EVERY_S:
            if len(self._said_at) > 1_000:
                self._said_at.clear()
            self._said_at[what] = now
            log.warning("%s", text)

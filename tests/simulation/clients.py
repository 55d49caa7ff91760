"""Clients that watch: each holds a WebSocket of the hub, and one again whenever it has lost it.

The shipped handler runs on the hub's side; here is the other end of its connection. Every message
is looked at as it arrives: trades and logs carry a number, and none may be lost, doubled or early.
"""

import asyncio
import json
import random
from typing import Any
from uuid import UUID

from starlette.types import Message
from starlette.websockets import WebSocket

from adapters.db.records import UserMessage
from api.hub import SCOPE_HUB, Hub
from api.websocket import stream
from tests.simulation.fleet import OWNER, Fleet
from tests.simulation.schedule import Step
from tests.simulation.virtual_loop import OUTSIDE, context_of, pass_time
from tests.simulation.witness import Violation

LOGIN = UUID(int=0x10611)
AGAIN_S = 0.3
"""A client that has lost its connection waits so long before it connects again."""
_LAG_S_MAX = 0.02


class Client:
    """One person's page: connects, and goes on after the last message it has seen."""

    def __init__(self, fleet: Fleet, step: Step) -> None:
        self._fleet = fleet
        self._rng = random.Random(f"client:{step}")
        self.last: int | None = 0 if step.who % 2 else None
        """Number of the newest message; None: what was before does not matter."""
        self.seen: list[dict[str, Any]] = []
        self.statuses = 0
        self._connection: _Connection | None = None
        fleet.loop.create_task(self._stay(), context=context_of(OUTSIDE))

    def hang_up(self) -> None:
        """Goes, and comes again."""
        if self._connection is not None:
            self._connection.close()

    async def _stay(self) -> None:
        while True:
            hub = self._fleet.hub
            if hub is not None and self._fleet.hub_life.process.alive:
                self._connection = _Connection(self, hub, self.last, self._rng)
                await self._connection.ended.wait()
            await pass_time(AGAIN_S)

    def refused(self, error: Exception) -> None:
        """The hub could not serve it now."""
        self._fleet.said.append(f"a stream has ended: {error!r}")

    def connected(self) -> None:
        """From this moment on everything has to come."""
        if self.last is None:
            self.last = self._newest()

    def _newest(self) -> int:
        newest = self._fleet.side.ask("SELECT message_seq FROM users WHERE id = $1", OWNER)[0][0]
        return int(newest)

    @property
    def behind(self) -> bool:
        """Whether the record has something that has not come."""
        return self.last is None or self.last < self._newest()

    def take(self, text: str | bytes) -> None:
        """A message has arrived."""
        message = json.loads(text)
        if message["type"] == "agent_status":
            self.statuses += 1
        elif message["type"] == "gap":
            self._fleet.loop.fail(Violation(f"a client was told of a gap: {text!r}"))
        elif message["seq"] is not None:
            self._take_fact(message)

    def _take_fact(self, message: dict[str, Any]) -> None:
        if self.last is None or (not self.seen and message["seq"] <= self.last):
            return  # it came before this client was let in, and was on its way
        if message["seq"] != self.last + 1:
            came = f"message {message['seq']} came to a client after {self.last}"
            self._fleet.loop.fail(Violation(came))
        self.last = message["seq"]
        self.seen.append(message)

    def check(self) -> None:
        """When all is over: what came is what the record holds, word for word."""
        query = "SELECT seq, kind, agent_id, ts, data FROM messages ORDER BY seq"
        stored = {row["seq"]: row for row in self._fleet.side.ask(query)}
        for message in self.seen:
            row = stored.get(message["seq"])
            if row is None:
                raise Violation(f"a client was sent what is not on record: {message}")
            told = UserMessage(
                OWNER, row["seq"], row["kind"], row["agent_id"], row["ts"], json.loads(row["data"])
            )
            if json.loads(json.dumps(told.as_json(), default=str)) != message:
                raise Violation(f"a client was sent {message}, on record is {told.as_json()}")


class _Connection:
    """The client's end of one WebSocket. It is lost when the hub's process ends."""

    def __init__(self, client: Client, hub: Hub, since: int | None, rng: random.Random) -> None:
        self._client = client
        self._rng = rng
        self.ended = asyncio.Event()
        self._gone = asyncio.Event()
        self._asked = False
        fleet = client._fleet
        token = hub.tokens.issue(OWNER, LOGIN)
        query = f"token={token}" + ("" if since is None else f"&since={since}")
        scope = {
            "type": "websocket",
            "path": "/ws",
            "headers": [],
            "query_string": query.encode(),
            SCOPE_HUB: hub,
        }
        socket = WebSocket(scope, self._receive, self._send)
        context = context_of(fleet.hub_life.process)
        context.run(fleet.wire.own, self)
        fleet.loop.create_task(self._serve(socket), context=context)

    def close(self) -> None:
        """From either side, or because the hub's process has died."""
        self._gone.set()
        self.ended.set()

    async def _serve(self, socket: WebSocket) -> None:
        try:
            await stream(socket)
        except Exception as error:
            # as a server closes with 1011: the client comes again
            self._client.refused(error)
        finally:
            self.close()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        await self._gone.wait()
        return {"type": "websocket.disconnect", "code": 1001}

    async def _send(self, message: Message) -> None:
        await pass_time(self._rng.random() * _LAG_S_MAX)
        if self._gone.is_set():
            return
        if message["type"] == "websocket.accept":
            self._client.connected()
        elif message["type"] == "websocket.send":
            for text in message.get("artic.texts") or [message["text"]]:
                self._client.take(text)

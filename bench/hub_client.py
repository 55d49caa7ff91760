"""The hub as its users have it: an account over REST, and a WebSocket that is read all the time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import connect

from bench.stack import BenchError

TIMEOUT_S = 20.0
_MESSAGE_BYTES_MAX = 8 * 2**20


@dataclass(slots=True)
class Account:
    """A registered user; rest carries the token with every call."""

    rest: httpx.AsyncClient
    token: str
    hub_url: str

    async def post(self, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises BenchError for anything but success."""
        return self._read(await self.rest.post(path, json=body))

    async def get(self, path: str) -> Any:
        """The same for GET."""
        return self._read(await self.rest.get(path))

    async def delete(self, path: str) -> None:
        """The same for DELETE, which answers nothing."""
        self._read(await self.rest.delete(path))

    def _read(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            told = f"{answer.request.method} {answer.request.url.path}"
            raise BenchError(f"{told}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None


@asynccontextmanager
async def new_account(hub_url: str) -> AsyncIterator[Account]:
    """Registers an account of its own."""
    login = {"email": f"{uuid4()}@example.com", "password": uuid4().hex}
    async with httpx.AsyncClient(base_url=hub_url, timeout=TIMEOUT_S, trust_env=False) as rest:
        account = Account(rest, "", hub_url)
        account.token = (await account.post("/auth/register", login))["access_token"]
        rest.headers["Authorization"] = f"Bearer {account.token}"
        yield account


@dataclass(slots=True)
class Listener:
    """What one WebSocket has brought so far."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    """Messages with a seq: trades and stored log lines, in the order in which they came."""
    others: list[dict[str, Any]] = field(default_factory=list)
    """Messages of any other kind than these and agent_status."""
    statuses: int = 0
    first_ticked_at: dict[str, float] = field(default_factory=dict)
    """time.time() of each agent's first agent_status that counts a tick."""
    ended: str = ""
    """Why the socket ended by itself."""

    def take(self, text: str | bytes) -> None:
        """Notes one message."""
        message = json.loads(text)
        if message["type"] == "agent_status":
            self.statuses += 1
            if message["data"]["ticks"] > 0:
                self.first_ticked_at.setdefault(message["agent_id"], time.time())
        elif message.get("seq") is not None:
            self.facts.append(message)
        elif message["type"] != "log":
            self.others.append(message)

    def seqs(self) -> list[int]:
        """Numbers of the facts in the order in which they came."""
        return [int(fact["seq"]) for fact in self.facts]


@asynccontextmanager
async def listening(account: Account) -> AsyncIterator[Listener]:
    """A socket from the account's first message on, open until the end."""
    url = account.hub_url.replace("http://", "ws://") + f"/ws?token={account.token}&since=0"
    listener = Listener()

    async def read() -> None:
        async for text in socket:
            listener.take(text)
        listener.ended = f"closed with {socket.close_code} {socket.close_reason}"

    async with connect(url, max_size=_MESSAGE_BYTES_MAX, compression=None) as socket:
        reading = asyncio.create_task(read())
        try:
            yield listener
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

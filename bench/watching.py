"""Owners who watch all of their agents: one WebSocket each, and how old its messages are.

The sockets live in a process of their own, so that reading them does not slow the measurement.
A message's age is counted from the moment at which its agent's shard was due in its slot.
"""

import asyncio
import json
import math
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec
import uvloop

from adapters.queue import phase_s
from adapters.tokens import AccessTokens
from bench.plain_socket import plain_socket
from bench.stack import ROOT, BenchError, Stack

CONNECTED_S = 120.0
_AT_ONCE = 20
_LINE_BYTES_MAX = 64 * 2**20
_OWNERS_AGENTS = """
SELECT user_id, id, shard FROM agents WHERE user_id IN (SELECT user_id FROM
    (SELECT user_id, sum(count(*)) OVER (ORDER BY user_id) AS upto FROM agents GROUP BY user_id)
    AS owners WHERE upto <= $1)
"""


class Message(msgspec.Struct):
    """What of a message is looked at."""

    type: str
    agent_id: str = ""
    ts: str = ""


_messages = msgspec.json.Decoder(Message)


@dataclass(slots=True)
class Ages:
    """Ages in milliseconds of what came since the measurement began."""

    phase: dict[str, float]
    statuses: list[float] = field(default_factory=list)
    facts: int = 0
    agents: set[str] = field(default_factory=set)
    _moments: dict[str, float] = field(default_factory=dict)

    def take(self, text: str | bytes) -> None:
        """Notes one message."""
        now = time.time()
        message = _messages.decode(text)
        if message.type != "agent_status":
            self.facts += 1
            return
        slot = self._moments.get(message.ts)
        if slot is None:
            slot = self._moments[message.ts] = datetime.fromisoformat(message.ts).timestamp()
        self.statuses.append((now - slot - self.phase[message.agent_id]) * 1000)
        self.agents.add(message.agent_id)

    def clear(self) -> None:
        """The measurement begins."""
        self.statuses.clear()
        self.agents.clear()
        self.facts = 0

    def figures(self) -> dict[str, Any]:
        """What a report says of it."""
        ages = sorted(self.statuses)
        return {
            "watched_seen": len(self.agents),
            "statuses": len(ages),
            "other_messages": self.facts,
            "message_age_ms_p50": _rank(ages, 0.5),
            "message_age_ms_p99": _rank(ages, 0.99),
            "message_age_ms_max": _rank(ages, 1.0),
        }


def _rank(ordered: list[float], share: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[max(math.ceil(share * len(ordered)) - 1, 0)], 1)


class Watching:
    """The process with the sockets, from outside."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, word: str) -> str:
        """Sends one line and reads the answer's."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(word.encode() + b"\n")
        await self._process.stdin.drain()
        try:
            async with asyncio.timeout(CONNECTED_S):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise BenchError("the watching owners have gone")
        return line.decode()

    async def begin(self) -> None:
        """From now on ages count."""
        await self.say("begin")

    async def figures(self) -> dict[str, Any]:
        """What has come since."""
        found: dict[str, Any] = json.loads(await self.say("figures"))
        return found


@asynccontextmanager
async def watching(stack: Stack, agents: int) -> AsyncIterator[Watching | None]:
    """The owners of so many agents, connected; None for no agents."""
    if not agents:
        yield None
        return
    found = await stack.sql(_OWNERS_AGENTS, agents)
    tokens = AccessTokens([stack.environment()["ARTIC_JWT_SECRET"]])
    told = {
        "url": stack.hub_url,
        "tokens": [tokens.issue(owner, uuid4()) for owner in {UUID(str(row[0])) for row in found}],
        "phase": {str(agent): phase_s(shard) for _, agent, shard in found},
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "bench.watching"),
        stdin=PIPE,
        stdout=PIPE,
        cwd="/",
        env=stack.environment() | {"PYTHONPATH": str(ROOT)},
    )
    try:
        owners = Watching(process)
        connected = await owners.say(json.dumps(told))
        print(f"{connected.strip()} owners watch {len(found)} agents")
        yield owners
    finally:
        process.kill()
        await process.wait()


async def watch() -> None:
    """The process with the sockets: what to watch on standard input, then words."""
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=_LINE_BYTES_MAX)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    told = json.loads(await lines.readline())
    ages = Ages(told["phase"])
    gate = asyncio.Semaphore(_AT_ONCE)

    where = urlsplit(told["url"])
    host, port = where.hostname or "", where.port or 0

    async def read(token: str, connected: asyncio.Event) -> None:
        path = f"/ws?token={token}"
        async with gate:
            socket = await plain_socket(host, port, path, ages.take)
        connected.set()
        raise BenchError(f"a socket has ended: {await socket.ended}")

    async with asyncio.TaskGroup() as sockets:
        gates = [asyncio.Event() for _ in told["tokens"]]
        for token, connected in zip(told["tokens"], gates, strict=True):
            sockets.create_task(read(token, connected))
        for connected in gates:
            await connected.wait()
        print(len(gates), flush=True)
        while line := (await lines.readline()).decode().strip():
            if line == "begin":
                ages.clear()
            print(json.dumps(ages.figures()), flush=True)


if __name__ == "__main__":
    uvloop.run(watch())

"""GET /ws: a client's socket, from its token to its last message.

One task sends, one reads (and drops) what the client says. A client is sent to at its own pace;
what it can't take in time is merged or, for trades and logs, ends the connection with 4408.
"""

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from adapters.db.errors import DatabaseError
from api.auth import SCOPE_KEY, caller_of_token
from api.callers import Caller
from api.errors import Problem
from api.http_heads import batch_of
from api.hub import Hub, hub_of
from api.watcher import Watcher
from api.websocket_protocol import (
    CLOSE_BAD_REQUEST,
    CLOSE_BAD_TOKEN,
    CLOSE_TOO_FAR_BEHIND,
    CLOSE_TOO_MANY,
    read_wishes,
)

log = logging.getLogger(__name__)

SEND_BYTES = 32_768
"""Of messages that are handed to the socket together; what is handed over is merged no more."""
SEND_S_MAX = 30.0
"""A client that takes nothing for so long is too far behind."""
CLOSE_S = 5.0
RETRY_S = 1.0


async def stream(socket: WebSocket) -> None:
    """Messages `{type, agent_id, seq, ts, data}` for all agents of the token's user.

    `agent_status` (data: a status) each tick; `trade` (data: `{event, trade}`, opened or closed)
    and `log` (data: `{entries}`) as they happen, ticks ten at a time. `seq` counts trades and
    stored logs without gaps, over all hubs; `{type: gap, from, to}` stands for those that are no
    longer kept (24 hours). A slow reader gets the newest status of each agent, and every trade.
    Closes with 4400 for a query that means nothing, 4401 for a token that is not good or whose
    login has ended, 4408 for a reader that stays too far behind, 4429 where the account has too
    many sockets, or requests, already.
    """
    hub = hub_of(socket)
    try:
        caller = caller_of_token(hub, socket.query_params.get("token", ""))
    except Problem as problem:
        await socket.accept()
        await _close(socket, CLOSE_BAD_TOKEN, problem.detail)
        return
    socket.scope[SCOPE_KEY] = caller
    wishes = read_wishes(socket.query_params.multi_items())
    if isinstance(wishes, str):
        await socket.accept()
        await _close(socket, CLOSE_BAD_REQUEST, wishes)
        return
    too_many = _too_many(hub, caller)
    if too_many:
        await socket.accept()
        await _close(socket, CLOSE_TOO_MANY, too_many)
        return
    watcher = Watcher(wishes)
    with hub.logins.following(caller.family_id) as ended:
        try:
            # Before the client hears that it is connected: what happens from then on, it gets.
            await hub.live.join(caller.user_id, watcher)
            await socket.accept()
            await _serve(hub, caller, socket, watcher, ended)
        except WebSocketDisconnect:
            return  # gone before it was let in
        finally:
            await hub.live.leave(caller.user_id, watcher)
    if ended.is_set():
        await _close(socket, CLOSE_BAD_TOKEN, "the login of this token has ended")
    elif watcher.outbox.too_far_behind:
        await _close(socket, CLOSE_TOO_FAR_BEHIND, "too far behind")


def _too_many(hub: Hub, caller: Caller) -> str:
    """Why the account gets no further socket now; empty where it does."""
    wait_s = hub.requests.wait_s(caller.user_text)
    if wait_s:
        return f"too many requests, try again in {wait_s} s"
    most = hub.settings.sockets_per_user
    if most and hub.live.watching(caller.user_id) >= most:
        return f"the account has its {most} sockets open here"
    return ""


async def _serve(
    hub: Hub, caller: Caller, socket: WebSocket, watcher: Watcher, ended: asyncio.Event
) -> None:
    """Until the client is gone or too far behind, or its login has ended."""
    tasks = (
        asyncio.create_task(_send(hub, caller, socket, watcher)),
        asyncio.create_task(_read(socket)),
        asyncio.create_task(watcher.given_up.wait()),
        asyncio.create_task(ended.wait()),
    )
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


async def _send(hub: Hub, caller: Caller, socket: WebSocket, watcher: Watcher) -> None:
    """Sends until the client is gone or too far behind."""
    outbox = watcher.outbox
    while not outbox.too_far_behind:
        messages = outbox.take(SEND_BYTES)
        if messages:
            try:
                async with asyncio.timeout(SEND_S_MAX):
                    await socket.send(batch_of(messages))
            except TimeoutError:
                outbox.too_far_behind = True
            continue
        watcher.news.clear()
        if watcher.replaying:
            try:
                if await hub.live.replay(caller.user_id, watcher):
                    continue
            except DatabaseError as error:
                log.warning("a replay waits for the record: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
        await watcher.news.wait()


async def _read(socket: WebSocket) -> None:
    """Clients have nothing to say; what they say is read so that pings and closes get through."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code, reason)
    except (TimeoutError, WebSocketDisconnect, RuntimeError) as error:
        log.debug("the client was gone before it was closed: %s", error)

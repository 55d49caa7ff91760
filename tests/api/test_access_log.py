"""The lines of the access log: requests and WebSockets, with whose they are and no query string."""

import logging
import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from adapters.log import fields_of
from adapters.settings import Settings
from tests.api.conftest import Account
from tests.api.serving import ServedHub, receive, serve
from tests.conftest import wait_for

SECONDS = re.compile(r" \d+\.\d s")


class Lines(logging.Handler):
    """(text without its time, fields) of what was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, dict[str, object]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((SECONDS.sub(" N s", record.getMessage()), fields_of(record)))

    def texts(self) -> list[str]:
        """Without the fields."""
        return [text for text, _ in self.said]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the access log says from now on."""
    handler = Lines()
    logger = logging.getLogger("artic.access")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[ServedHub]:
    async with serve(settings) as hub:
        yield hub


async def test_a_request_is_one_line_with_its_user(
    alice: Account, http: httpx.AsyncClient, lines: Lines
) -> None:
    await alice.http.get("/api/me%0Aforged?token=secret", headers={"X-Request-ID": "r1"})
    await http.get("/api/me")
    await http.get("/" + "a" * 5_000)
    [(first, about), (second, nobody), (third, _)] = lines.said
    assert re.fullmatch(r"GET /api/me%0Aforged 404 \d+\.\d ms", first)
    assert about == {"request_id": "r1", "user_id": str(alice.user_id)}
    assert (second.startswith("GET /api/me 401 "), "user_id" in nobody) == (True, False)
    assert len(third) < 400


async def test_a_socket_is_two_lines_with_its_code(served: ServedHub, lines: Lines) -> None:
    user_id, token = await served.token("alice")
    async with served.socket(token):
        await wait_for(lambda: lines.said)
        assert lines.texts() == ["WebSocket /ws accepted"]
    await wait_for(lambda: len(lines.said) == 2)
    assert lines.texts()[1] == "WebSocket /ws closed 1000 after N s"
    assert [about["user_id"] for _, about in lines.said] == [str(user_id)] * 2
    assert len({about["request_id"] for _, about in lines.said}) == 1
    assert token not in str(lines.said)


async def test_refused_sockets_say_why(served: ServedHub, lines: Lines) -> None:
    _, token = await served.token("alice")
    for query, code in (("&since=x", 4400), ("x", 4401)):
        lines.said.clear()
        async with served.socket(token, query) as stream:
            with pytest.raises(ConnectionClosed):
                await receive(stream)
        await wait_for(lambda: len(lines.said) == 2)
        assert lines.texts()[1] == f"WebSocket /ws closed {code} after N s"
    lines.said.clear()
    with pytest.raises(InvalidStatus):
        await connect(f"ws://127.0.0.1:{served.port}/wsx?token={token}", proxy=None)
    await wait_for(lambda: lines.said)
    assert lines.texts() == ["WebSocket /wsx closed 1006 after N s, refused"]


async def test_one_that_just_goes_is_said_too(served: ServedHub, lines: Lines) -> None:
    _, token = await served.token("alice")
    stream = await served.socket(token)
    stream.transport.abort()
    await wait_for(lambda: len(lines.said) == 2)
    assert re.fullmatch("WebSocket /ws closed 100[56] after N s", lines.texts()[1])

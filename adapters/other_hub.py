"""Another hub, told over HTTP what an agent container of its own would tell it.

Only addresses that the operator has named are asked; redirects are not followed and what is
answered beyond its status is not used, so that nobody can read through us what we can reach.
aiohttp and not httpx: a report costs a tenth of the CPU, and each agent makes one a second.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

CONNECTIONS_MAX = 8
"""Kept open between calls; what is to be told waits for one of them."""
CONNECT_S = 2.0
ANSWER_S = 5.0
KEPT_OPEN_S = 3.0
"""Shorter than hubs keep idle connections, so that a report rarely meets one that just ended."""
REST_S_MAX = 300.0
ANSWER_BYTES_MAX = 65_536

Outcome = Literal["taken", "known", "refused"]
"""known: 409, which a hub may say of what it has heard before. refused: it will not take this, as
it is, now."""


class HubAway(Exception):
    """The other hub can't be reached, is slow or fails: to be tried again, the same.

    rest_s: seconds for which it has asked for rest, None where it has not.
    """

    def __init__(self, why: str, rest_s: float | None = None) -> None:
        super().__init__(why)
        self.rest_s = rest_s


class OtherHub:
    """The connections to one hub."""

    def __init__(self, url: str) -> None:
        """In a running event loop."""
        import aiohttp  # 8 MB, for those who tell other hubs

        self.url = url
        self._away = (aiohttp.ClientError, OSError)
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, keepalive_timeout=KEPT_OPEN_S),
            timeout=aiohttp.ClientTimeout(total=CONNECT_S + ANSWER_S, sock_connect=CONNECT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def aclose(self) -> None:
        """Ends the connections."""
        await self._http.close()

    async def tell(
        self, path: str, body: bytes, secret: str, headers: Mapping[str, str]
    ) -> tuple[Outcome, int]:
        """(what came of one POST, its status). Raises HubAway."""
        told = {"X-Internal-Secret": secret, "Content-Type": "application/json", **headers}
        try:
            async with self._http.post(
                self.url + path, data=body, headers=told, allow_redirects=False
            ) as answer:
                size = 0
                async for chunk in answer.content.iter_any():
                    size += len(chunk)
                    if size > ANSWER_BYTES_MAX:
                        answer.close()  # and its connection with it
                        break
        except self._away as error:
            raise HubAway(type(error).__name__) from error
        status = answer.status
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return "taken", status
        is_refusal = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
        if status in (408, 425, 429) or not is_refusal:
            raise HubAway(f"status {status}", _rest_s(answer.headers.get("retry-after")))
        return ("known" if status == HTTPStatus.CONFLICT else "refused"), status


def _rest_s(retry_after: str | None) -> float | None:
    """Seconds; a date is not read."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdecimal():
        return None
    return min(float(retry_after[:9]), REST_S_MAX)

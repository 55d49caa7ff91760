"""Another hub, told over HTTP what an agent container of its own would tell it.

Only addresses that the operator has named are asked; redirects are not followed and what is
answered beyond its status is not used, so that nobody can read through us what we can reach.
"""

from collections.abc import Mapping
from typing import Literal

import httpx

CONNECTIONS_MAX = 8
"""Kept open between calls; what is to be told waits for one of them."""
CONNECT_S = 2.0
ANSWER_S = 5.0
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
        self.url = url
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Ends the connections."""
        await self._http.aclose()

    async def tell(
        self, path: str, body: bytes, secret: str, headers: Mapping[str, str]
    ) -> tuple[Outcome, int]:
        """(what came of one POST, its status). Raises HubAway."""
        told = {"X-Internal-Secret": secret, "Content-Type": "application/json", **headers}
        try:
            async with self._http.stream(
                "POST", self.url + path, content=body, headers=told
            ) as answer:
                size = 0
                async for chunk in answer.aiter_raw():
                    size += len(chunk)
                    if size > ANSWER_BYTES_MAX:
                        break  # its connection ends with it
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise HubAway(type(error).__name__) from error
        status = answer.status_code
        if answer.is_success:
            return "taken", status
        if status in (408, 425, 429) or not answer.is_client_error:
            raise HubAway(f"status {status}", _rest_s(answer.headers.get("retry-after")))
        return ("known" if status == httpx.codes.CONFLICT else "refused"), status


def _rest_s(retry_after: str | None) -> float | None:
    """Seconds; a date is not read."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdecimal():
        return None
    return min(float(retry_after[:9]), REST_S_MAX)

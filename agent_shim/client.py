"""The way to the hub: one pool of connections, the internal secret on every call.

What the hub answers comes back as it is; what keeps it from answering is a Refusal that says so in
the field's shape.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from agent_shim.bodies import Refusal

log = logging.getLogger("artic.shim")

SECRET_HEADER = "X-Internal-Secret"
RETRY_AFTER_S = 2
TIMEOUT = httpx.Timeout(10.0, connect=2.0, pool=2.0)
"""A start or stop that was sent and not answered has an unknown outcome; both are safe to repeat."""
CONNECTIONS_MAX = 100
KEPT_OPEN_S = 3.0
"""Shorter than the hub keeps idle connections, so that a call rarely meets one that just ended."""


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """What the hub said: the status and the decoded JSON."""

    status: int
    body: Any
    retry_after: str | None = None


class HubClient:
    """Calls of the agent endpoint, passed to the hub."""

    def __init__(
        self,
        hub_url: str,
        internal_secret: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport` stands for the network, in tests."""
        self._http = httpx.AsyncClient(
            base_url=hub_url,
            headers={SECRET_HEADER: internal_secret},
            timeout=TIMEOUT,
            limits=httpx.Limits(
                max_connections=CONNECTIONS_MAX,
                max_keepalive_connections=CONNECTIONS_MAX,
                keepalive_expiry=KEPT_OPEN_S,
            ),
            transport=transport,
            trust_env=False,
            follow_redirects=False,
        )

    async def aclose(self) -> None:
        """Ends every connection."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        agent_id: UUID,
        name: str,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> HubAnswer:
        """One call of an agent's endpoint, `name` being health, start, ...

        Raises:
            Refusal: 503 when the hub can't be reached, is slow or lets us not in, 502 when its
                answer is none.
        """
        try:
            response = await self._http.request(
                method,
                f"/internal/agents/{agent_id}/endpoint/{name}",
                params=query,
                content=None if body is None else json.dumps(body),
                headers={} if body is None else {"Content-Type": "application/json"},
            )
        except httpx.ReadTimeout as error:
            raise _away("hub did not answer in time", error) from error
        except httpx.TransportError as error:
            raise _away("hub not reachable", error) from error
        if response.status_code == httpx.codes.FORBIDDEN:
            raise _away("hub refused the internal secret", "its answer is 403")
        return _decoded(response)


def _decoded(response: httpx.Response) -> HubAnswer:
    try:
        body = response.json()
    except ValueError as error:
        log.error("the hub's answer (%d) is not JSON", response.status_code)
        raise Refusal(502, "hub gave no valid answer") from error
    return HubAnswer(response.status_code, body, response.headers.get("retry-after"))


def _away(detail: str, why: object) -> Refusal:
    log.warning("%s: %s", detail, why or type(why).__name__)
    return Refusal(503, detail, {"Retry-After": str(RETRY_AFTER_S)})

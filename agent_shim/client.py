"""The way to the hub: one pool of connections, the internal secret on every call.

What the hub answers comes back as it is; what keeps it from answering is a Refusal that says so.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from agent_shim.errors import Refusal

log = logging.getLogger("artic.shim")

CREDENTIAL_HEADER = "X-Internal-Secret"
REQUEST_ID_HEADER = "X-Request-ID"
RETRY_AFTER_S = 2
TIMEOUT = httpx.Timeout(10.0, connect=2.0, pool=2.0)
"""A start or stop that was sent and not answered has an unknown outcome; both may be repeated."""
CONNECTIONS_MAX = 100
KEPT_OPEN_S = 3.0
"""Shorter than the hub keeps idle connections, so that a call rarely meets one that just ended."""

NOT_REACHABLE = "hub not reachable"
TOO_SLOW = "hub did not answer in time"
TOO_MANY = "too many calls at once"
NOT_LET_IN = "hub refused the internal secret"


@dataclass(frozen=True, slots=True)
class Called:
    """What of whom is called, `name` being health, start, stop ..., and the id of the request."""

    method: str
    agent_id: UUID
    name: str
    request_id: str


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """What the hub said: the status, the decoded JSON, and when to ask again."""

    status: int
    body: Any
    retry_after: str | None


class HubClient:
    """Calls of the agent endpoint, passed to the hub."""

    def __init__(
        self, hub_url: str, internal_secret: str, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` stands for the network, in tests."""
        self._trouble = ""
        self._http = httpx.AsyncClient(
            base_url=hub_url,
            headers={CREDENTIAL_HEADER: internal_secret},
            timeout=TIMEOUT,
            limits=httpx.Limits(
                max_connections=CONNECTIONS_MAX,
                max_keepalive_connections=CONNECTIONS_MAX,
                keepalive_expiry=KEPT_OPEN_S,
            ),
            transport=transport,
            trust_env=False,  # a proxy of the machine is no way to a hub of the internal network
            follow_redirects=False,  # the secret goes nowhere else
        )

    async def aclose(self) -> None:
        """Ends every connection."""
        await self._http.aclose()

    async def call(
        self,
        to: Called,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> HubAnswer:
        """One call of an agent's endpoint.

        Raises:
            Refusal: 503 when the hub can't be reached, is slow or does not let us in; 502 when its
                answer is no JSON.
        """
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = await self._http.request(
                to.method,
                f"/internal/agents/{to.agent_id}/endpoint/{to.name}",
                params=query,
                content=None if body is None else json.dumps(body),
                headers={REQUEST_ID_HEADER: to.request_id, **kind},
            )
        except httpx.PoolTimeout as error:
            raise self._away(TOO_MANY) from error
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise self._away(TOO_SLOW) from error
        except httpx.TransportError as error:
            raise self._away(NOT_REACHABLE) from error
        if response.status_code == httpx.codes.FORBIDDEN:
            raise self._away(NOT_LET_IN)
        self._say_once("")
        return _decoded(response)

    def _away(self, detail: str) -> Refusal:
        self._say_once(detail)
        return Refusal(503, detail, {"Retry-After": str(RETRY_AFTER_S)})

    def _say_once(self, trouble: str) -> None:
        """Logs what keeps calls from the hub when it begins and when it ends, not every call."""
        if trouble != self._trouble:
            if trouble:
                log.warning("%s", trouble)
            else:
                log.info("hub reachable again")
            self._trouble = trouble


def _decoded(response: httpx.Response) -> HubAnswer:
    try:
        body = response.json()
    except ValueError as error:
        log.error("the hub's answer (status %d) is no JSON", response.status_code)
        raise Refusal(502, "hub gave no valid answer") from error
    return HubAnswer(response.status_code, body, response.headers.get("retry-after"))

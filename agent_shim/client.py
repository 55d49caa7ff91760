"""The way to the hub: one pool of connections, the internal secret on every call.

What the hub answers comes back as it is; what keeps it from answering is a Refusal that says so.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from agent_shim.errors import Refusal
from agent_shim.network import Heard, HttpNetwork, Network, NetworkError, TooMany, TooSlow

log = logging.getLogger("artic.shim")

CREDENTIAL_HEADER = "X-Internal-Secret"
REQUEST_ID_HEADER = "X-Request-ID"
RETRY_AFTER_S = 2
FORBIDDEN = 403
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

    def __init__(self, hub_url: str, internal_secret: str, network: Network | None = None) -> None:
        """`network` stands for the way there, in tests."""
        self._trouble = ""
        self._network = network or HttpNetwork(hub_url)
        self._secret = internal_secret

    async def aclose(self) -> None:
        """Ends every connection."""
        await self._network.aclose()

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
        target = f"/internal/agents/{to.agent_id}/endpoint/{to.name}"
        return await self.ask(to, f"{target}?{urlencode(query)}" if query else target, body)

    async def ask(self, to: Called, target: str, body: dict[str, Any] | None) -> HubAnswer:
        """One request, whatever it is for. Raises Refusal as `call` does."""
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            heard = await self._network.ask(
                to.method,
                target,
                {CREDENTIAL_HEADER: self._secret, REQUEST_ID_HEADER: to.request_id, **kind},
                b"" if body is None else json.dumps(body).encode(),
            )
        except TooMany as error:
            raise self._away(TOO_MANY) from error
        except TooSlow as error:
            # A start or stop that was sent has an unknown outcome; both may be repeated.
            raise self._away(TOO_SLOW) from error
        except NetworkError as error:
            raise self._away(NOT_REACHABLE) from error
        if heard.status == FORBIDDEN:
            raise self._away(NOT_LET_IN)
        self._say_once("")
        return _decoded(heard)

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


def _decoded(heard: Heard) -> HubAnswer:
    try:
        body = json.loads(heard.body)
    except ValueError as error:
        log.error("the hub's answer (status %d) is no JSON", heard.status)
        raise Refusal(502, "hub gave no valid answer") from error
    return HubAnswer(heard.status, body, heard.headers.get("retry-after"))

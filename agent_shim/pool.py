"""The way to a pool that runs the agent of another hub.

The pool is told first which agent of which hub this is, and answers with the id that stands for it
there; calls go to that. Whenever the pool knows the id no longer, it is told again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from agent_shim.client import RETRY_AFTER_S, Called, HubAnswer, HubClient
from agent_shim.errors import Refusal
from agent_shim.network import Network
from agent_shim.settings import OwnHub

log = logging.getLogger("artic.shim")

REST_S_MIN, REST_S_MAX = 0.5, 30.0


class PoolClient(HubClient):
    """Calls of one agent's endpoint, passed to what stands for it in the pool."""

    def __init__(
        self,
        pool_url: str,
        pool_secret: str,
        outside_id: UUID,
        own_hub: OwnHub,
        network: Network | None = None,
    ) -> None:
        super().__init__(pool_url, pool_secret, network)
        self._outside_id = outside_id
        self._own_hub = own_hub
        self._agent_id: UUID | None = None

    async def keep_introducing(
        self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Until the pool has taken it: what it is told at a start may be a new secret."""
        rest_s = REST_S_MIN
        while self._agent_id is None:
            try:
                await self._introduce(uuid4().hex)
            except Refusal as refusal:
                log.warning("the pool does not take this agent: %s", refusal.detail)
                await sleep(rest_s)
                rest_s = min(2 * rest_s, REST_S_MAX)

    async def call(
        self,
        to: Called,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> HubAnswer:
        """One call of the agent's endpoint. Raises Refusal, also where the pool takes no agent."""
        known = self._agent_id
        agent_id = known or await self._introduce(to.request_id)
        answer = await super().call(replace(to, agent_id=agent_id), body=body, query=query)
        if answer.status != 404 or known is None:
            return answer
        # deleted over there since: this hub's agent begins anew
        agent_id = await self._introduce(to.request_id)
        return await super().call(replace(to, agent_id=agent_id), body=body, query=query)

    async def _introduce(self, request_id: str) -> UUID:
        """What stands for the agent in the pool. Raises Refusal."""
        told = {
            "hub_url": self._own_hub.url,
            "internal_secret": self._own_hub.secret,
            "symbol": self._own_hub.symbol,
        }
        to = Called("PUT", self._outside_id, "hosted", request_id)
        answer = await self.ask(to, f"/internal/hosted/{self._outside_id}", told)
        said = answer.body if isinstance(answer.body, dict) else {}
        if answer.status != 200:
            raise Refusal(
                503, f"the pool refuses: {_why(said)}", {"Retry-After": f"{RETRY_AFTER_S}"}
            )
        try:
            self._agent_id = UUID(said["agent_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise Refusal(502, "the pool gave no valid answer") from error
        return self._agent_id


def _why(said: dict[str, Any]) -> str:
    """A problem of the pool in one line; none of them repeats what it was told."""
    errors = said.get("errors")
    if isinstance(errors, list) and errors:
        return "; ".join(f"{each.get('field')}: {each.get('message')}" for each in errors)
    return str(said.get("detail", "no reason given"))

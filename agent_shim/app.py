"""The agent endpoint as an ASGI application: whom a request is for, then what it asks.

Handlers read a call, pass it to the hub and hand its answer back; they decide nothing. Everything
that is no success has the field's shape, {"detail": ...}.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent_shim import bodies, contract
from agent_shim.addresses import WRONG_HOST, Addressed, NotAddressed, find_agent
from agent_shim.bodies import Refusal
from agent_shim.client import HubAnswer, HubClient

log = logging.getLogger("artic.shim")


class AgentAddress:
    """Finds the agent that a request is for, and leaves the path of the call in its place."""

    def __init__(self, app: ASGIApp, only_agent: UUID | None) -> None:
        self._app = app
        self._only_agent = only_agent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = self._find(scope)
        if isinstance(found, NotAddressed):
            await _refuse(found.status, found.detail)(scope, receive, send)
            return
        state = scope.get("state", {}) | {"agent_id": found.agent_id}
        inner = scope | {"path": found.path, "raw_path": found.path.encode(), "state": state}
        await self._app(inner, receive, send)

    def _find(self, scope: Scope) -> Addressed | NotAddressed:
        hosts = [value for key, value in scope["headers"] if key == b"host"]
        if len(hosts) != 1:
            return WRONG_HOST
        return find_agent(hosts[0].decode("latin-1"), scope["path"], self._only_agent)

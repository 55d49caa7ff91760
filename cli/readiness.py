"""Waits until the hub and the agent endpoint serve, for as long as everything lives."""

import asyncio
import time
from collections.abc import Sequence

import httpx

from adapters.settings import Settings
from cli.child import Child, ending
from cli.terminal import CommandError

_READY_S = 60.0
_POLL_S = 0.05
_SETTLED_S = 12.0
"""What the choice of a price source may take: an exchange has five seconds to answer."""


async def until_ready(settings: Settings, children: Sequence[Child]) -> None:
    """The hub answers /health and the agent endpoint takes connections.

    Raises CommandError when one of our processes has ended by then, or it takes more than a minute.
    """
    deadline = time.monotonic() + _READY_S
    async with httpx.AsyncClient(base_url=settings.own_hub_url, trust_env=False) as hub:
        while not (await _is_healthy(hub) and await _is_listening(settings)):
            for child in children:
                if child.has_ended():
                    how = ending(await child.wait())
                    raise CommandError(
                        f"{child.part.name} did not start ({how}): {child.last_words()}"
                    )
            if time.monotonic() > deadline:
                raise CommandError(
                    f"the hub is not ready after {_READY_S:g} s: see {settings.data_dir}/logs"
                )
            await asyncio.sleep(_POLL_S)


async def price_line(settings: Settings) -> str | None:
    """Where prices come from, as the hub says it once it is settled; None if it does not."""
    deadline = time.monotonic() + _SETTLED_S
    async with httpx.AsyncClient(base_url=settings.own_hub_url, trust_env=False) as hub:
        while time.monotonic() < deadline:
            try:
                told = (await hub.get("/ready")).json().get("prices")
            except (httpx.HTTPError, ValueError, AttributeError):
                return None
            if told:
                return str(told).capitalize()[:1] + str(told)[1:]
            await asyncio.sleep(_POLL_S)
    return None


async def _is_healthy(hub: httpx.AsyncClient) -> bool:
    try:
        return (await hub.get("/health")).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def _is_listening(settings: Settings) -> bool:
    try:
        _, writer = await asyncio.open_connection(settings.shim_host, settings.shim_port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True

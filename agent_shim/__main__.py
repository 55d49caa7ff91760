"""`python -m agent_shim`: the agent endpoint as a process."""

import asyncio
import logging
import os
import signal
import socket
import sys

from agent_shim.app import AgentEndpoint
from agent_shim.client import HubClient
from agent_shim.log import configure_logging
from agent_shim.pool import PoolClient
from agent_shim.server import Server
from agent_shim.settings import SettingsError, ShimSettings, load_settings

BACKLOG = 2_048

log = logging.getLogger("artic.shim")


class CannotListen(Exception):
    """The port is taken or forbidden, or the address is none. The text is one line."""


def main() -> None:
    """Serves until SIGTERM; exits with 1 and one line for what a person can mend."""
    try:
        settings = load_settings(os.environ)
        listening = listen(settings.host, settings.port)
    except (SettingsError, CannotListen) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(serve(settings, listening))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotListen."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        is_name = isinstance(error, socket.gaierror)  # its numbers are not the system's
        reason = error.strerror if is_name else os.strerror(error.errno or 0)
        raise CannotListen(f"cannot listen on {host} port {port}: {reason}") from error


async def serve(settings: ShimSettings, listening: socket.socket) -> None:
    """Serves until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    way = (settings.hub_url, settings.internal_secret)
    hub, introducing = HubClient(*way), None
    if settings.own_hub is not None and settings.only_agent is not None:
        hub = pool = PoolClient(*way, settings.only_agent, settings.own_hub)
        introducing = asyncio.create_task(pool.keep_introducing())
    endpoint = AgentEndpoint(hub, settings.only_agent, passes_all=settings.own_hub is not None)
    log.info("agent endpoint ready for %s", settings.only_agent or "every agent")
    try:
        await Server(endpoint.answer).serve(listening, stopping)
    finally:
        if introducing is not None:
            introducing.cancel()
        await endpoint.aclose()


if __name__ == "__main__":
    main()

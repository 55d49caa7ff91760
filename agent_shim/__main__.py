"""`python -m agent_shim`: the agent endpoint as a process."""

import os
import socket
import sys

import uvicorn

from agent_shim.app import create_app
from agent_shim.client import HubClient
from agent_shim.log import configure_logging
from agent_shim.settings import SettingsError, ShimSettings, load_settings

GRACE_S = 3
BACKLOG = 2_048


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
    uvicorn.Server(server_config(settings)).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises CannotListen."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        is_name = isinstance(error, socket.gaierror)  # its numbers are not the system's
        reason = error.strerror if is_name else os.strerror(error.errno or 0)
        raise CannotListen(f"cannot listen on {host} port {port}: {reason}") from error


def server_config(settings: ShimSettings) -> uvicorn.Config:
    """How it is served."""
    hub = HubClient(settings.hub_url, settings.internal_secret)
    return uvicorn.Config(
        create_app(hub, settings.only_agent),
        http="h11",  # the parser that bounds how long a header may be
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a Host name is not forwarded, and who asks is nobody's business
        timeout_graceful_shutdown=GRACE_S,
    )


if __name__ == "__main__":
    main()

"""What is looked at before anything is started, so that what is wrong is one line and not a dead
process.
"""

import re
import socket
from contextlib import ExitStack
from pathlib import Path

from adapters.settings import Settings
from cli.terminal import CommandError


def check_ports(settings: Settings) -> None:
    """Both ports can be listened on. CommandError names the one that can't and the flag to change
    it.
    """
    wanted = [
        (settings.hub_host, settings.hub_port, "--port"),
        (settings.shim_host, settings.shim_port, "--shim-port"),
    ]
    with ExitStack() as held:  # both at once, so that twice the same port is found out
        for host, port, flag in wanted:
            _hold(held, host, port, flag)


def check_price_source(source: str) -> None:
    """The files of a replay are there."""
    if not source.startswith("replay:"):
        return
    for part in source.removeprefix("replay:").split(","):
        speed = re.search(r"@(\d+\.?\d*)$", part)
        if speed and not float(speed[1]) > 0:
            raise CommandError(f"ARTIC_PRICE_SOURCE: the speed must be above 0, not {speed[1]}")
        path = Path(re.sub(r"@[\d.]+$", "", part))
        if not path.is_file():
            raise CommandError(f"ARTIC_PRICE_SOURCE: there is no file {path}")


def _hold(held: ExitStack, host: str, port: int, flag: str) -> None:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = held.enter_context(socket.socket(family, kind))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # only then it is taken, for the other port, too
    except socket.gaierror as error:
        raise CommandError(f"{host} is no address to listen on: {error.strerror}") from error
    except PermissionError as error:
        raise CommandError(
            f"no right to listen on port {port}: choose another with {flag}"
        ) from error
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host} port {port} ({error.strerror}): choose another with {flag}"
        ) from error

"""`python -m api`: the hub as a process."""

import gc
import logging
import socket
import sys

import uvicorn
from starlette.applications import Starlette

from adapters.log import configure_logging
from adapters.price_choice import check_prices
from adapters.prices import PriceSourceError
from adapters.settings import Settings, load_settings_or_exit
from api.app import create_app
from api.http_heads import BoundedHttp, BoundedWebSocket

GRACE_S = 5
SOCKET_BYTES_MAX = 16_384
"""Of one message of a WebSocket client, which has nothing to say."""
PING_S = 20.0
QUIET = ("uvicorn.error", "websockets")
"""These log the URLs of WebSockets at info, and with them tokens."""


def server_config(app: Starlette, settings: Settings) -> uvicorn.Config:
    """How the hub is served."""
    return uvicorn.Config(
        app,
        host=settings.hub_host,
        port=settings.hub_port,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        http=BoundedHttp,
        ws=BoundedWebSocket,
        timeout_graceful_shutdown=GRACE_S,
        ws_max_size=SOCKET_BYTES_MAX,
        ws_per_message_deflate=False,  # it keeps some hundred kilobytes for each client
        ws_ping_interval=PING_S,
        ws_ping_timeout=PING_S,
    )


def main() -> None:
    """Serves until SIGTERM; exits with 1 and one line when a setting is wrong."""
    settings = load_settings_or_exit()
    configure_logging(settings, in_batches=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        source = check_prices(settings)
    except PriceSourceError as error:
        print(f"error: ARTIC_PRICE_SOURCE: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    config = server_config(create_app(settings, source), settings)
    server = uvicorn.Server(config)
    # Objects that live as long as the process are not worth a look of the collector, and a full
    # collection holds up every client.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    address = _bind(settings.hub_host, settings.hub_port)
    try:
        server.run(sockets=[address])
    except KeyboardInterrupt:
        return  # Ctrl-C, after everything was closed
    if not server.started:
        raise SystemExit(1)


def _bind(host: str, port: int) -> socket.socket:
    """The address, taken before anything is opened, so that a taken one is all that is said."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        print(f"error: the hub can't listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from None
    return listening


if __name__ == "__main__":
    main()

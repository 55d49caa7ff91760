"""`python -m agent_shim`: the agent endpoint as a process."""

import os
import sys

import uvicorn

from agent_shim.app import create_app
from agent_shim.client import HubClient
from agent_shim.log import configure_logging
from agent_shim.settings import SettingsError, load_settings

GRACE_S = 3


def main() -> None:
    """Serves until SIGTERM; exits with 1 and one line when a setting is wrong."""
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    configure_logging(settings.log_level, settings.log_format)
    hub = HubClient(settings.hub_url, settings.internal_secret)
    uvicorn.run(
        create_app(hub, settings.only_agent),
        host=settings.host,
        port=settings.port,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who asks is nobody's business here, and a Host is not forwarded
        timeout_graceful_shutdown=GRACE_S,
    )


if __name__ == "__main__":
    main()

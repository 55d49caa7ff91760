"""`python -m agent_shim.probe`: whether the agent endpoint beside us answers; for health checks."""

import os
import socket
import sys

SECONDS = 2.0


def main() -> int:
    """0 when it answers anything over HTTP, 1 when it does not."""
    port = int(os.environ.get("ARTIC_SHIM_PORT") or 8000)
    try:
        with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
            connection.sendall(
                b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            return 0 if connection.recv(9) == b"HTTP/1.1 " else 1
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main())

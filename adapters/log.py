"""Logging of every process, configured once: lines for people, or JSON for machines.

Nothing secret is ever passed to a logger; libraries that log every call are kept quiet.
"""

import logging
import sys
import time
from typing import Any

import msgspec

from adapters.settings import Settings

QUIET = ("arq", "httpx", "httpcore", "asyncio", "tortoise", "uvicorn.access")
"""Libraries that speak at warnings and above only."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, and what `extra` carried."""

    _standard = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, Any] = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        body |= {k: v for k, v in vars(record).items() if k not in self._standard}
        if record.exc_info:
            body["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(body, enc_hook=str).decode()


def configure_logging(settings: Settings) -> None:
    """Sets the root logger of this process by ARTIC_LOG_FORMAT and ARTIC_LOG_LEVEL."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        formatter: logging.Formatter = JsonFormatter()
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
        )
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

"""Logging of the agent endpoint: lines for people, or JSON for machines, as the pool writes them.

Nothing secret is passed to a logger, and calls are not logged one by one.
"""

import json
import logging
import sys
import time

_QUIET = ("httpx", "httpcore", "asyncio", "uvicorn")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, and the traceback as error."""

    def format(self, record: logging.LogRecord) -> str:
        body = {
            "ts": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            body["error"] = self.formatException(record.exc_info)
        return json.dumps(body, ensure_ascii=False)


def configure_logging(level: str, form: str) -> None:
    """Sets the root logger of this process; `form` is plain or json."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    if form == "json":
        formatter = JsonFormatter()
        formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

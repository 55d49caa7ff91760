"""Logging of the agent endpoint: lines for people, or JSON for machines, as the pool writes them.

Nothing secret is passed to a logger, and calls are not logged one by one; the hub does that, under
the same request id.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

_QUIET = ("httpx", "httpcore", "asyncio", "uvicorn")
_fields: ContextVar[Mapping[str, str]] = ContextVar("log_fields")


@contextmanager
def log_fields(**fields: str) -> Iterator[None]:
    """Every line that is logged inside carries these fields."""
    token = _fields.set({**_fields.get({}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, the fields, the traceback as error."""

    def format(self, record: logging.LogRecord) -> str:
        body = {
            "ts": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        body = {**_fields.get({}), **body}
        if record.exc_info:
            body["error"] = self.formatException(record.exc_info)
        return json.dumps(body, ensure_ascii=False)


class PlainFormatter(logging.Formatter):
    """A line for people; the fields stand at its end, as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in _fields.get({}).items())
        text = super().formatMessage(record)
        return f"{text} [{fields}]" if fields else text


def configure_logging(level: str, form: str) -> None:
    """Sets the root logger of this process; `form` is plain or json."""
    handler = logging.StreamHandler(sys.stderr)
    formatter: logging.Formatter = PlainFormatter()
    if form == "json":
        formatter = JsonFormatter()
        formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

"""Logging of every process, configured once: lines for people, or JSON for machines.

Nothing secret is ever passed to a logger; libraries that log every call are kept quiet. What a
line belongs to (a request, a shard, a slot, an agent) is said with it: by `extra`, or for all
lines inside `log_fields`.
"""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

from adapters.settings import Settings

QUIET = ("arq", "httpx", "httpcore", "asyncio", "tortoise", "uvicorn.access")
"""Libraries that speak at warnings and above only."""

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_fields: ContextVar[Mapping[str, object]] = ContextVar("log_fields")


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Every line that this task, and those that it starts, log inside carries these fields."""
    token = _fields.set({**_fields.get({}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What a line carries beside its text; its own `extra` wins."""
    own = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**_fields.get({}), **own}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, message, and the fields."""

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, Any] = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        body = fields_of(record) | body
        if record.exc_info:
            body["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(body, enc_hook=str).decode()


class PlainFormatter(logging.Formatter):
    """A line for people; the fields stand at its end, as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in fields_of(record).items())
        text = super().formatMessage(record)
        return f"{text} [{fields}]" if fields else text


def configure_logging(settings: Settings) -> None:
    """Sets the root logger of this process by ARTIC_LOG_FORMAT and ARTIC_LOG_LEVEL."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else PlainFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

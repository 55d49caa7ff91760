"""Logging of every process, configured once: lines for people, or JSON for machines.

Nothing secret is ever passed to a logger; libraries that log every call are kept quiet. What a
line belongs to (a request, a shard, a slot, an agent) is said with it: by `extra`, or for all
lines inside `log_fields`. A process that serves thousands of requests a second writes its lines
in batches.
"""

import asyncio
import logging
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, TextIO

import msgspec

from adapters.settings import Settings

QUIET = ("arq", "httpx", "httpcore", "asyncio", "tortoise", "uvicorn.access")
"""Libraries that speak at warnings and above only."""

BATCH_S = 0.05
"""A line of a batch is written so long after it was logged, at most; a process that is killed takes
so much with it. Warnings and errors are written at once."""
BATCH_BYTES = 65_536

Fields = Mapping[str, object]

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_fields: ContextVar[Fields] = ContextVar("log_fields")


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Every line that this task, and those that it starts, log inside carries these fields."""
    token = _fields.set({**_fields.get({}), **fields})
    try:
        yield
    finally:
        _fields.reset(token)


def put_fields(fields: Fields) -> Token[Fields]:
    """The same without a `with`, in place of what was put before; the token is given back."""
    return _fields.set(fields)


def reset_fields(token: Token[Fields]) -> None:
    """Ends what put_fields began."""
    _fields.reset(token)


def log_line(logger: logging.Logger, message: str, fields: Fields) -> None:
    """An info line, for whoever writes one for each request.

    The logging library looks for the caller's file, thread and process, which takes ten times as
    long as the line; nobody asks for them where lines are written in batches.
    """
    handlers = logging.root.handlers
    if len(handlers) == 1 and isinstance(handlers[0], BatchHandler) and not logger.handlers:
        handlers[0].write_line(logger.name, message, {**_fields.get({}), **fields})
    else:
        logger.info("%s", message, extra=fields)


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What a line carries beside its text; its own `extra` wins."""
    own = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    return {**_fields.get({}), **own}


class LineFormatter(logging.Formatter, ABC):
    """A line of the project in one of its forms."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record, with its exception."""
        error = self.formatException(record.exc_info) if record.exc_info else ""
        text, fields = record.getMessage(), fields_of(record)
        return self.line(record.created, record.levelname, record.name, text, fields, error)

    @abstractmethod
    def line(
        self, at: float, level: str, name: str, text: str, fields: Fields, error: str = ""
    ) -> str:
        """One line. at: Unix seconds."""


class JsonFormatter(LineFormatter):
    """One JSON object a line: ts, level, logger, message, and the fields."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = _Seconds(time.gmtime, "%Y-%m-%dT%H:%M:%S")

    def line(
        self, at: float, level: str, name: str, text: str, fields: Fields, error: str = ""
    ) -> str:
        """One JSON object; a field never takes the place of what every line has."""
        body: dict[str, Any] = {
            **fields,
            "ts": f"{self._seconds.text(at)}.{int(at % 1 * 1000):03d}Z",
            "level": level.lower(),
            "logger": name,
            "message": text,
        }
        if error:
            body["error"] = error
        return msgspec.json.encode(body, enc_hook=str).decode()


class PlainFormatter(LineFormatter):
    """A line for people; the fields stand at its end, as `name=value`."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = _Seconds(time.localtime, "%H:%M:%S")

    def line(
        self, at: float, level: str, name: str, text: str, fields: Fields, error: str = ""
    ) -> str:
        """One line, and those of an exception."""
        line = f"{self._seconds.text(at)} {level:<7} {name}: {text}"
        if fields:
            shown = " ".join([f"{field}={value}" for field, value in fields.items()])
            line = f"{line} [{shown}]"
        return f"{line}\n{error}" if error else line


class _Seconds:
    """A clock for lines: most of them are of the same second as the one before."""

    def __init__(self, broken_down: Callable[[float], time.struct_time], form: str) -> None:
        self._broken_down = broken_down
        self._form = form
        self._second = -1
        self._text = ""

    def text(self, moment: float) -> str:
        """A moment (Unix seconds) to the second."""
        second = int(moment)
        if second != self._second:
            self._text = time.strftime(self._form, self._broken_down(second))
            self._second = second
        return self._text


class BatchHandler(logging.Handler):
    """Writes the lines of an event loop together, up to BATCH_S late, warnings and errors at once.

    Outside of an event loop every line is written at once. The end of the process writes the rest.
    """

    def __init__(self, stream: TextIO, form: LineFormatter) -> None:
        super().__init__()
        self.setFormatter(form)
        self._form = form
        self._stream = stream
        self._lines: list[str] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writing = threading.RLock()

    def emit(self, record: logging.LogRecord) -> None:
        """Takes a line."""
        try:
            with self._writing:
                self._take(self.format(record))
            if record.levelno >= logging.WARNING:
                self.flush()
        except (TypeError, ValueError, LookupError, OSError):  # a bad line, or nobody reads
            self.handleError(record)

    def write_line(self, name: str, text: str, fields: Fields) -> None:
        """Takes an info line of a logger; see log_line."""
        with self._writing:
            self._take(self._form.line(time.time(), "INFO", name, text, fields))

    def _take(self, line: str) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > BATCH_BYTES:
            self.flush()
        elif self._timer is None:
            self._flush_later()

    def _flush_later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(BATCH_S, self.flush)

    def flush(self) -> None:
        """Writes what was taken."""
        with self._writing:
            lines, self._lines, self._bytes = self._lines, [], 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if lines:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()

    def close(self) -> None:
        """Writes what was taken, for good."""
        self.flush()
        super().close()


def configure_logging(settings: Settings, *, in_batches: bool = False) -> None:
    """Sets the root logger of this process by ARTIC_LOG_FORMAT and ARTIC_LOG_LEVEL."""
    form = JsonFormatter() if settings.log_format == "json" else PlainFormatter()
    handler = BatchHandler(sys.stderr, form) if in_batches else logging.StreamHandler(sys.stderr)
    handler.setFormatter(form)
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)

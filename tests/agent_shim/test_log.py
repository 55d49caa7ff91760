"""What the agent endpoint logs: lines for people, or JSON for machines."""

import json
import logging
import sys

from agent_shim.log import JsonFormatter


def record(message: str) -> logging.LogRecord:
    """A warning."""
    made = logging.LogRecord("artic.shim", logging.WARNING, __file__, 1, message, (), None)
    made.created, made.msecs = 0.25, 250.0
    return made


def test_json_is_one_line_with_its_time() -> None:
    formatted = JsonFormatter().format(record("two\nlines"))
    assert "\n" not in formatted
    told = json.loads(formatted)
    assert told.pop("ts").endswith(".250Z")
    assert told == {"level": "warning", "logger": "artic.shim", "message": "two\nlines"}


def test_json_holds_a_traceback() -> None:
    made = record("broken")
    try:
        raise ValueError("why")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(JsonFormatter().format(made))["error"]

"""Log lines: what they carry, in both forms."""

import asyncio
import json
import logging

from adapters.log import JsonFormatter, PlainFormatter, log_fields


def record(text: str, **extra: object) -> logging.LogRecord:
    """A warning as a logger makes it."""
    made = logging.getLogger("artic.test").makeRecord(
        "artic.test", logging.WARNING, "file.py", 1, text, (), None, extra=extra
    )
    assert isinstance(made, logging.LogRecord)
    return made


def test_json_carries_what_the_context_and_the_line_say() -> None:
    with log_fields(request_id="r1", shard=3), log_fields(shard=4, slot=99):
        line = json.loads(JsonFormatter().format(record("two\nlines", agent_id="a1", slot=100)))
    assert {name: line[name] for name in ("request_id", "shard", "slot", "agent_id")} == {
        "request_id": "r1",
        "shard": 4,
        "slot": 100,
        "agent_id": "a1",
    }
    assert (line["level"], line["logger"], line["message"]) == (
        "warning",
        "artic.test",
        "two\nlines",
    )
    assert "request_id" not in json.loads(JsonFormatter().format(record("after")))


def test_a_field_never_takes_the_place_of_the_message() -> None:
    with log_fields(level="made up", ts=0):
        line = json.loads(JsonFormatter().format(record("text")))
    assert line["level"] == "warning"
    assert line["ts"] != 0


def test_plain_lines_end_with_the_fields() -> None:
    with log_fields(request_id="r1"):
        assert (
            PlainFormatter()
            .format(record("text", shard=3))
            .endswith("WARNING artic.test: text [request_id=r1 shard=3]")
        )
    assert PlainFormatter().format(record("text")).endswith("artic.test: text")


async def test_tasks_do_not_mix_their_fields() -> None:
    async def line(name: str) -> str:
        with log_fields(request_id=name):
            await asyncio.sleep(0)
            return PlainFormatter().format(record("text"))

    lines = await asyncio.gather(*(line(f"r{number}") for number in range(20)))
    assert [text.rpartition("=")[2] for text in lines] == [f"r{number}]" for number in range(20)]

"""Log lines: what they carry, in both forms."""

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from adapters.log import BatchHandler, JsonFormatter, PlainFormatter, log_fields, log_line
from tests.conftest import wait_for


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


@pytest.fixture(params=[JsonFormatter, PlainFormatter])
def batches(request: pytest.FixtureRequest) -> Iterator[tuple[BatchHandler, io.StringIO]]:
    """The only handler, as in a process that writes its lines in batches, and what it wrote."""
    written = io.StringIO()
    handler = BatchHandler(written, request.param())
    root = logging.root
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    yield handler, written
    root.handlers[:] = handlers
    root.setLevel(level)


LOG = logging.getLogger("artic.test")
TIME = re.compile(r"[\d:T.-]{8,}Z?")


async def test_lines_of_a_loop_are_written_together_and_in_order(
    batches: tuple[BatchHandler, io.StringIO],
) -> None:
    handler, written = batches
    with log_fields(request_id="r1"):
        log_line(LOG, "first", {"shard": 3})
    LOG.info("second")
    assert written.getvalue() == ""
    await wait_for(written.getvalue)
    first, second = written.getvalue().splitlines()
    assert all(word in first for word in ("first", "r1", "3", "artic.test"))
    assert "second" in second
    log_line(LOG, "third", {})
    LOG.warning("fourth")  # takes what waits with it
    lines = written.getvalue().splitlines()
    assert ["third" in lines[2], "fourth" in lines[3]] == [True, True]
    log_line(LOG, "fifth", {})
    handler.close()
    assert "fifth" in written.getvalue().splitlines()[4]


def test_without_a_loop_every_line_is_written_at_once(
    batches: tuple[BatchHandler, io.StringIO],
) -> None:
    log_line(LOG, "text", {})
    assert "text" in batches[1].getvalue()


async def test_a_long_batch_does_not_wait(
    batches: tuple[BatchHandler, io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.log.BATCH_BYTES", 1_000)
    for _ in range(20):
        log_line(LOG, "x" * 100, {})
    assert batches[1].getvalue().count("\n") >= 9


async def test_a_line_is_the_same_whichever_way_it_was_logged(
    batches: tuple[BatchHandler, io.StringIO],
) -> None:
    with log_fields(request_id="r1"):
        log_line(LOG, "100 % done", {"user_id": "u1"})
        LOG.info("%s", "100 % done", extra={"user_id": "u1"})
    batches[0].flush()
    one, other = (TIME.sub("", line) for line in batches[1].getvalue().splitlines())
    assert one == other


def test_where_others_listen_a_line_goes_to_all(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "artic.test"):
        log_line(LOG, "text", {"shard": 3})
    [heard] = caplog.records
    assert (heard.getMessage(), vars(heard)["shard"]) == ("text", 3)

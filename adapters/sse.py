"""Server-sent events out of bytes, as the WHATWG's rules say; pure.

Only what a client without reconnection ids needs: the name of the event and its data. Comments
are skipped (they keep a connection alive, and whoever counts bytes has seen them).
"""

from typing import Final, NamedTuple

EVENT_BYTES_MAX: Final = 16_000_000


class ServerEvent(NamedTuple):
    """One event; name is `message` where the server gave none."""

    name: str
    data: bytes


class EventTooLong(ValueError):
    """A server sends one event without end."""


class EventParser:
    """Takes chunks as they come from a socket, however they are cut."""

    def __init__(self) -> None:
        self._name = "message"
        self._data: list[bytes] = []
        self._line: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that end in this chunk.

        Raises:
            EventTooLong: more bytes without the end of an event than are worth keeping.
        """
        # A line of a hundred kilobytes comes in many chunks: they are joined once, at its end.
        self._line.append(chunk)
        self._held += len(chunk)
        if self._held > EVENT_BYTES_MAX:
            raise EventTooLong(f"more than {EVENT_BYTES_MAX} bytes without the end of an event")
        if b"\n" not in chunk and b"\r" not in chunk:
            return []
        whole = b"".join(self._line)
        # A CR at the very end may be the first half of a CRLF.
        cut = len(whole) - whole.endswith(b"\r")
        lines = whole[:cut].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest = lines.pop() + whole[cut:]
        self._line = [rest]
        events = [event for line in lines if (event := self._take(line)) is not None]
        self._held = len(rest) + sum(map(len, self._data))
        return events

    def _take(self, line: bytes) -> ServerEvent | None:
        if not line:
            name, data = self._name, self._data
            self._name, self._data = "message", []
            return ServerEvent(name, b"\n".join(data)) if data else None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")
        return None

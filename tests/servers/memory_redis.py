"""A Redis in this process: its owner moves its clock, and a crash loses what its owner says.

It runs the shipped Lua scripts on a real Lua and passes the same contract as a real server
(tests/contract). Everything it does happens between two awaits of its clients.
"""

import asyncio
import fnmatch
import inspect
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.servers import redis_ordered, redis_values
from tests.servers.redis_lua import Scripts
from tests.servers.redis_values import OK, Keyspace, Reply, ReplyError, Status, integer

Command = tuple[bytes, ...]

_RESTART_IN_SCRIPT = {b"SUBSCRIBE", b"PSUBSCRIBE", b"MULTI", b"EXEC", b"EVALSHA", b"EVAL"}


@dataclass(frozen=True)
class _Known:
    """A command: what runs it, and how many arguments it takes."""

    run: Callable[..., Reply]
    least: int
    most: float


def _known(run: Callable[..., Reply], bound: int) -> _Known:
    """bound: arguments that are not the caller's."""
    parameters = list(inspect.signature(run).parameters.values())[bound:]
    plain = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    least = sum(each.default is each.empty for each in plain)
    return _Known(run, least, len(plain) if plain == parameters else math.inf)


_ON_KEYS = {
    name: _known(run, bound=1)
    for name, run in {**redis_values.COMMANDS, **redis_ordered.COMMANDS}.items()
}


class Session:
    """One client's connection: what was answered and not yet read, what it listens to."""

    def __init__(self, server: "MemoryRedis") -> None:
        self.server = server
        self.closed = False
        self.replies: deque[Reply] = deque()
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.queued: list[Command] | None = None
        self._news: asyncio.Event = asyncio.Event()

    def send(self, command: Command) -> None:
        """Runs a command at once; its reply waits to be read."""
        if not self.closed:
            for reply in self.server.run(self, command):
                self.put(reply)

    def put(self, reply: Reply) -> None:
        self.replies.append(reply)
        self._news.set()

    def close(self, *, arrived: bool = False) -> None:
        """From either side: what was not read is lost, unless it has arrived already."""
        self.closed = True
        if not arrived:
            self.replies.clear()
        self.server.sessions.pop(self, None)
        self._news.set()

    async def receive(self) -> Reply:
        """The next reply or message. Raises ConnectionResetError when the connection has gone."""
        while not self.replies:
            if self.closed:
                raise ConnectionResetError("the server closed the connection")
            self._news.clear()
            await self._news.wait()
        return self.replies.popleft()


class Witness(Protocol):
    """Sees every script before and after it has run."""

    def before_script(
        self, sha: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]
    ) -> None: ...

    def after_script(
        self, sha: bytes, keys: Sequence[bytes], arguments: Sequence[bytes], reply: Reply
    ) -> None: ...


class MemoryRedis:
    """One server. now: Unix seconds by its clock. run_id: 40 hexadecimal digits."""

    def __init__(self, now: Callable[[], float], run_id: str) -> None:
        self.now = now
        self.run_id = run_id
        self.up = True
        self.keys = Keyspace(now)
        self.scripts = Scripts(self._in_script)
        self.sessions: dict[Session, None] = {}
        self.witness: Witness | None = None
        own: dict[bytes, Callable[..., Reply]] = {
            b"PING": self._ping, b"TIME": self._time, b"INFO": self._info,
            b"FLUSHALL": self._flushall, b"PUBLISH": self._publish, b"EVALSHA": self._evalsha,
            b"EVAL": self._eval, b"SCRIPT": self._script, b"PUBSUB": self._pubsub,
        }  # fmt: skip
        self._own = {name: _known(run, bound=0) for name, run in own.items()}

    def connect(self) -> Session:
        """A new connection. Raises ConnectionRefusedError while the server is down."""
        if not self.up:
            raise ConnectionRefusedError("the server is down")
        session = Session(self)
        self.sessions[session] = None
        return session

    def crash(self, arrived: Callable[[], bool] = lambda: False) -> None:
        """Ends the process: every connection breaks; what is kept is what `start` is given.

        arrived: asked for each connection, whether its client can still read the last replies.
        """
        self.up = False
        for session in list(self.sessions):
            session.close(arrived=arrived())

    def start(self, run_id: str, kept: Keyspace) -> None:
        """A new process that has read its file; scripts have to be loaded again."""
        assert not self.up
        self.keys, self.run_id, self.up = kept, run_id, True
        self.scripts.forget()

    def run(self, session: Session, command: Command) -> list[Reply]:
        """What a command of a connection answers: one reply, or one for each channel."""
        name = command[0].upper()
        if session.queued is None and name in _ON_KEYS:
            return [self.execute(command)]
        if session.queued is not None and name not in (b"EXEC", b"DISCARD"):
            session.queued.append(command)
            return [Status(b"QUEUED")]
        if name in (b"SUBSCRIBE", b"PSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE"):
            return self._listen(session, name, command[1:])
        if name == b"PING" and (session.channels or session.patterns):
            return [[b"pong", b"".join(command[1:])]]
        if name == b"MULTI":
            session.queued = []
            return [OK]
        if name in (b"EXEC", b"DISCARD"):
            if session.queued is None:
                return [ReplyError(f"ERR {name.decode()} without MULTI")]
            queued, session.queued = session.queued, None
            return [OK] if name == b"DISCARD" else [[self.execute(each) for each in queued]]
        return [self.execute(command)]

    def execute(self, command: Command) -> Reply:
        """The reply of one command, an error among the others."""
        try:
            return self._execute(command)
        except ReplyError as error:
            return error

    def _execute(self, command: Command) -> Reply:
        name, arguments = command[0].upper(), command[1:]
        known = _ON_KEYS.get(name)
        mine = None if known else self._own.get(name)
        found = known or mine
        if found is None:
            raise ReplyError(f"ERR unknown command `{command[0].decode()}`")
        if not found.least <= len(arguments) <= found.most:
            said = command[0].decode().lower()
            raise ReplyError(f"ERR wrong number of arguments for '{said}' command")
        return found.run(*arguments) if mine else found.run(self.keys, *arguments)

    def _in_script(self, command: Command) -> Reply:
        if command[0].upper() in _RESTART_IN_SCRIPT:
            raise ReplyError("ERR This Redis command is not allowed from scripts")
        return self._execute(command)

    def _ping(self, word: bytes | None = None) -> Reply:
        return Status(b"PONG") if word is None else word

    def _time(self) -> Reply:
        micros = round(self.now() * 1e6)
        return [b"%d" % (micros // 1_000_000), b"%d" % (micros % 1_000_000)]

    def _info(self, section: bytes = b"default") -> Reply:
        return f"# Server\r\nredis_version:6.2.9\r\nrun_id:{self.run_id}\r\n".encode()

    def _flushall(self) -> Reply:
        self.keys = Keyspace(self.now)
        return OK

    def _script(self, what: bytes, *words: bytes) -> Reply:
        if what.upper() == b"LOAD" and len(words) == 1:
            return self.scripts.load(words[0])
        if what.upper() == b"EXISTS":
            return [int(self.scripts.known(word)) for word in words]
        if what.upper() == b"FLUSH":
            self.scripts.forget()
            return OK
        raise ReplyError(f"ERR Unknown subcommand '{what.decode()}'")

    def _eval(self, text: bytes, count: bytes, *words: bytes) -> Reply:
        return self._evalsha(self.scripts.load(text), count, *words)

    def _evalsha(self, sha: bytes, count: bytes, *words: bytes) -> Reply:
        keys, arguments = words[: integer(count)], words[integer(count) :]
        if self.witness is None:
            return self.scripts.run(sha, keys, arguments)
        self.witness.before_script(sha, keys, arguments)
        reply = self.scripts.run(sha, keys, arguments)
        self.witness.after_script(sha, keys, arguments, reply)
        return reply

    def _pubsub(self, what: bytes, *channels: bytes) -> Reply:
        if what.upper() != b"NUMSUB":
            raise ReplyError(f"ERR Unknown subcommand '{what.decode()}'")
        reply: list[Reply] = []
        for channel in channels:
            reply += [channel, sum(channel in session.channels for session in self.sessions)]
        return reply

    def _publish(self, channel: bytes, message: bytes) -> Reply:
        heard = 0
        for session in self.sessions:
            if channel in session.channels:
                session.put([b"message", channel, message])
                heard += 1
            for pattern in session.patterns:
                if fnmatch.fnmatchcase(channel.decode(), pattern.decode()):
                    session.put([b"pmessage", pattern, channel, message])
                    heard += 1
        return heard

    def _listen(self, session: Session, verb: bytes, names: Sequence[bytes]) -> list[Reply]:
        channels = session.patterns if b"PSUB" in verb or b"PUNS" in verb else session.channels
        ending = b"UNSUB" in verb
        replies: list[Reply] = []
        for name in names or (list(channels) if ending else []):
            if ending:
                channels.pop(name, None)
            else:
                channels[name] = None
            count = len(session.channels) + len(session.patterns)
            replies.append([verb.lower(), name, count])
        if not replies:
            replies.append([verb.lower(), None, len(session.channels) + len(session.patterns)])
        return replies

"""The values of the in-memory Redis and the commands on strings, hashes, lists and sets.

Only what Artic uses is here; a command that is missing is an error, never a guess. What each does
is held against a real Redis by tests/contract.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TypeAlias, TypeVar

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "ERR syntax error"
_INTEGER = re.compile(rb"0|-?[1-9]\d*")
NO_INTEGER = "ERR value is not an integer or out of range"


class Status(bytes):
    """A simple string such as OK: a script sees {ok=...}."""


Reply: TypeAlias = "int | bytes | list[Reply] | ReplyError | None"

OK = Status(b"OK")


class ReplyError(Exception):
    """What the server answers instead of a reply, with its code in front."""


class Hash(dict[bytes, bytes]):
    """A hash."""


class List(list[bytes]):
    """A list."""


class Members(dict[bytes, None]):
    """A set, in the order of insertion, so that the same run gives the same answers."""


class Scores(dict[bytes, float]):
    """A sorted set."""


class Stream:
    """Entries in order of their ids, and the highest id there ever was."""

    def __init__(
        self,
        entries: Iterable[tuple[tuple[int, int], list[bytes]]] = (),
        last: tuple[int, int] = (0, 0),
    ) -> None:
        self.entries = list(entries)
        self.last = last


Value: TypeAlias = bytes | Hash | List | Members | Scores | Stream
Kind = TypeVar("Kind", Hash, List, Members, Scores, Stream)
Pairs = Iterator[tuple[bytes, bytes]]


def copied(value: Value) -> Value:
    """A value that later commands on the given one do not change."""
    match value:
        case bytes():
            return value
        case Hash():
            return Hash(value)
        case List():
            return List(value)
        case Members():
            return Members(value)
        case Scores():
            return Scores(value)
        case Stream():
            return Stream(value.entries, value.last)


class Keyspace:
    """Keys with their values and the moments at which they go."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now  # Unix seconds
        self.values: dict[bytes, Value] = {}
        self.ends: dict[bytes, float] = {}

    def find(self, key: bytes) -> Value | None:
        """The value of a key that has not run out."""
        end = self.ends.get(key)
        if end is not None and end <= self.now():
            self.drop(key)
        return self.values.get(key)

    def drop(self, key: bytes) -> bool:
        self.ends.pop(key, None)
        return self.values.pop(key, None) is not None

    def string(self, key: bytes) -> bytes | None:
        value = self.find(key)
        if value is None or isinstance(value, bytes):
            return value
        raise ReplyError(WRONG_TYPE)

    def read(self, kind: type[Kind], key: bytes) -> Kind:
        """The value to look at, an empty one that is kept nowhere for a missing key."""
        value = self.find(key)
        if value is None:
            return kind()
        if not isinstance(value, kind):
            raise ReplyError(WRONG_TYPE)
        return value

    def write(self, kind: type[Kind], key: bytes) -> Kind:
        """The value to change, made if it is missing."""
        value = self.read(kind, key)
        self.values[key] = value
        return value

    def tidy(self, key: bytes) -> None:
        """Empty collections are no keys (a stream stays)."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, (bytes, Stream)) and not value:
            self.drop(key)

    def snapshot(self) -> "Keyspace":
        """A copy that nothing done here changes."""
        copy = Keyspace(self.now)
        copy.values = {key: copied(value) for key, value in self.values.items()}
        copy.ends = dict(self.ends)
        return copy


def integer(text: bytes) -> int:
    """An integer argument, in its one form."""
    if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise ReplyError(NO_INTEGER)
    return int(text)


def pairs(words: tuple[bytes, ...]) -> Pairs:
    """Names and values that alternate."""
    if len(words) % 2:
        raise ReplyError("ERR wrong number of arguments")
    return zip(words[::2], words[1::2], strict=True)


def span(first: bytes, last: bytes, size: int) -> range:
    """The places from first to last, both inside, negative ones counted from the end."""
    begin, end = integer(first), integer(last)
    begin = max(begin + size, 0) if begin < 0 else begin
    end = end + size if end < 0 else min(end, size - 1)
    return range(begin, max(end + 1, begin))


def get(db: Keyspace, key: bytes) -> Reply:
    return db.string(key)


def set_(db: Keyspace, key: bytes, value: bytes, *options: bytes) -> Reply:
    words = [word.upper() for word in options]
    only_new, end = b"NX" in words, None
    for unit, divisor in ((b"EX", 1.0), (b"PX", 1000.0)):
        if unit in words:
            end = db.now() + integer(options[words.index(unit) + 1]) / divisor
    if len(words) != only_new + (0 if end is None else 2):
        raise ReplyError(SYNTAX)
    if only_new and db.find(key) is not None:
        return None
    db.drop(key)
    db.values[key] = value
    if end is not None:
        db.ends[key] = end
    return OK


def psetex(db: Keyspace, key: bytes, ms: bytes, value: bytes) -> Reply:
    return set_(db, key, value, b"PX", ms)


def setex(db: Keyspace, key: bytes, seconds: bytes, value: bytes) -> Reply:
    return set_(db, key, value, b"EX", seconds)


def getrange(db: Keyspace, key: bytes, first: bytes, last: bytes) -> Reply:
    begin, end = integer(first), integer(last)
    value = db.string(key) or b""
    if begin < 0 and end < begin:
        return b""
    begin, end = (max(at + len(value), 0) if at < 0 else at for at in (begin, end))
    return value[begin : end + 1]


def setrange(db: Keyspace, key: bytes, offset: bytes, data: bytes) -> Reply:
    at = integer(offset)
    if at < 0:
        raise ReplyError("ERR offset is out of range")
    value = db.string(key) or b""
    if data:
        value = value.ljust(at, b"\0")
        db.values[key] = value = value[:at] + data + value[at + len(data) :]
    return len(value)


def incrby(db: Keyspace, key: bytes, by: bytes) -> Reply:
    value = db.string(key)
    number = integer(by) + integer(b"0" if value is None else value)
    db.values[key] = b"%d" % number
    return number


def delete(db: Keyspace, key: bytes, *more: bytes) -> Reply:
    return sum(db.find(each) is not None and db.drop(each) for each in (key, *more))


def exists(db: Keyspace, key: bytes, *more: bytes) -> Reply:
    return sum(db.find(each) is not None for each in (key, *more))


def pexpire(db: Keyspace, key: bytes, ms: bytes) -> Reply:
    if db.find(key) is None:
        return 0
    db.ends[key] = db.now() + integer(ms) / 1000
    return 1


def expire(db: Keyspace, key: bytes, seconds: bytes) -> Reply:
    return pexpire(db, key, b"%d" % (integer(seconds) * 1000))


def pttl(db: Keyspace, key: bytes) -> Reply:
    if db.find(key) is None:
        return -2
    return round((db.ends[key] - db.now()) * 1000) if key in db.ends else -1


def ttl(db: Keyspace, key: bytes) -> Reply:
    left = pttl(db, key)
    assert isinstance(left, int)
    return (left + 500) // 1000 if left >= 0 else left


def keys(db: Keyspace, pattern: bytes) -> Reply:
    live = [key for key in list(db.values) if db.find(key) is not None]
    return [key for key in live if fnmatchcase(key.decode(), pattern.decode())]


def hget(db: Keyspace, key: bytes, field: bytes) -> Reply:
    return db.read(Hash, key).get(field)


def hmget(db: Keyspace, key: bytes, field: bytes, *more: bytes) -> Reply:
    found = db.read(Hash, key)
    return [found.get(each) for each in (field, *more)]


def hgetall(db: Keyspace, key: bytes) -> Reply:
    return [word for item in db.read(Hash, key).items() for word in item]


def hset(db: Keyspace, key: bytes, field: bytes, value: bytes, *more: bytes) -> Reply:
    changes = dict(pairs((field, value, *more)))
    found = db.write(Hash, key)
    new = sum(each not in found for each in changes)
    found.update(changes)
    return new


def hdel(db: Keyspace, key: bytes, field: bytes, *more: bytes) -> Reply:
    found = db.read(Hash, key)
    gone = sum(found.pop(each, None) is not None for each in (field, *more))
    db.tidy(key)
    return gone


def hincrby(db: Keyspace, key: bytes, field: bytes, by: bytes) -> Reply:
    step, value = integer(by), db.read(Hash, key).get(field, b"0")
    if not _INTEGER.fullmatch(value):
        raise ReplyError("ERR hash value is not an integer")
    number = int(value) + step
    db.write(Hash, key)[field] = b"%d" % number
    return number


def rpush(db: Keyspace, key: bytes, item: bytes, *more: bytes) -> Reply:
    found = db.write(List, key)
    found += (item, *more)
    return len(found)


def lpush(db: Keyspace, key: bytes, item: bytes, *more: bytes) -> Reply:
    found = db.write(List, key)
    found[:0] = reversed((item, *more))
    return len(found)


def lrange(db: Keyspace, key: bytes, first: bytes, last: bytes) -> Reply:
    found = db.read(List, key)
    places = span(first, last, len(found))
    return list(found[places.start : places.stop])


def lindex(db: Keyspace, key: bytes, place: bytes) -> Reply:
    found, at = db.read(List, key), integer(place)
    return found[at] if -len(found) <= at < len(found) else None


def llen(db: Keyspace, key: bytes) -> Reply:
    return len(db.read(List, key))


def ltrim(db: Keyspace, key: bytes, first: bytes, last: bytes) -> Reply:
    found = db.read(List, key)
    places = span(first, last, len(found))
    found[:] = found[places.start : places.stop]
    db.tidy(key)
    return OK


def sadd(db: Keyspace, key: bytes, member: bytes, *more: bytes) -> Reply:
    found = db.write(Members, key)
    before = len(found)
    found.update(dict.fromkeys((member, *more)))
    return len(found) - before


def srem(db: Keyspace, key: bytes, member: bytes, *more: bytes) -> Reply:
    found = db.read(Members, key)
    gone = sum(found.pop(each, 0) is None for each in (member, *more))
    db.tidy(key)
    return gone


def smembers(db: Keyspace, key: bytes) -> Reply:
    return list(db.read(Members, key))


def scard(db: Keyspace, key: bytes) -> Reply:
    return len(db.read(Members, key))


def spop(db: Keyspace, key: bytes, count: bytes) -> Reply:
    found = db.read(Members, key)
    popped = list(found)[: integer(count)]
    for member in popped:
        del found[member]
    db.tidy(key)
    return list(popped)


COMMANDS: dict[bytes, Callable[..., Reply]] = {
    b"GET": get, b"SET": set_, b"PSETEX": psetex, b"SETEX": setex, b"GETRANGE": getrange,
    b"SETRANGE": setrange, b"INCRBY": incrby, b"DEL": delete, b"EXISTS": exists, b"EXPIRE": expire,
    b"PEXPIRE": pexpire, b"PTTL": pttl, b"TTL": ttl, b"KEYS": keys, b"HGET": hget,
    b"HMGET": hmget, b"HGETALL": hgetall, b"HSET": hset, b"HDEL": hdel, b"HINCRBY": hincrby,
    b"RPUSH": rpush, b"LPUSH": lpush, b"LRANGE": lrange, b"LINDEX": lindex, b"LLEN": llen,
    b"LTRIM": ltrim, b"SADD": sadd, b"SREM": srem, b"SMEMBERS": smembers, b"SCARD": scard,
    b"SPOP": spop,
}  # fmt: skip
"""Each takes the keyspace and its arguments."""

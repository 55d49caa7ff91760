"""Commands of the in-memory Redis on sorted sets and streams."""

import math
from collections.abc import Callable

from tests.servers.redis_values import (
    SYNTAX,
    Keyspace,
    Reply,
    ReplyError,
    Scores,
    Stream,
    integer,
    span,
)

StreamId = tuple[int, int]
_ID_MAX = 2**64 - 1


def score_text(score: float) -> bytes:
    """A score as it is answered."""
    return b"%d" % score if score.is_integer() else b"%.17g" % score


def _number(text: bytes) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ReplyError("ERR value is not a valid float") from error


def _bound(text: bytes) -> tuple[float, bool]:
    """A bound of a score, and whether it lies outside itself."""
    open_ = text.startswith(b"(")
    return _number(text[1:] if open_ else text), open_


def _between(found: Scores, low: bytes, high: bytes) -> list[tuple[float, bytes]]:
    (least, above), (most, below) = _bound(low), _bound(high)
    return sorted(
        (score, member)
        for member, score in found.items()
        if (score > least if above else score >= least)
        and (score < most if below else score <= most)
    )


def _answer(items: list[tuple[float, bytes]], with_scores: bool) -> Reply:
    if not with_scores:
        return [member for _, member in items]
    return [word for score, member in items for word in (member, score_text(score))]


def zadd(db: Keyspace, key: bytes, score: bytes, member: bytes, *more: bytes) -> Reply:
    words = (score, member, *more)
    if len(words) % 2:
        raise ReplyError(SYNTAX)
    changes = {words[i + 1]: _number(words[i]) for i in range(0, len(words), 2)}
    if any(math.isnan(each) for each in changes.values()):
        raise ReplyError("ERR value is not a valid float")
    found = db.write(Scores, key)
    before = len(found)
    found.update(changes)
    return len(found) - before


def zrem(db: Keyspace, key: bytes, member: bytes, *more: bytes) -> Reply:
    found = db.read(Scores, key)
    gone = sum(found.pop(each, None) is not None for each in (member, *more))
    db.tidy(key)
    return gone


def zcard(db: Keyspace, key: bytes) -> Reply:
    return len(db.read(Scores, key))


def zscore(db: Keyspace, key: bytes, member: bytes) -> Reply:
    score = db.read(Scores, key).get(member)
    return None if score is None else score_text(score)


def zincrby(db: Keyspace, key: bytes, by: bytes, member: bytes) -> Reply:
    score = _number(by) + db.read(Scores, key).get(member, 0.0)
    db.write(Scores, key)[member] = score
    return score_text(score)


def zrange(db: Keyspace, key: bytes, first: bytes, last: bytes, *options: bytes) -> Reply:
    found = sorted((score, member) for member, score in db.read(Scores, key).items())
    places = span(first, last, len(found))
    return _answer(found[places.start : places.stop], b"WITHSCORES" in options)


def zrangebyscore(db: Keyspace, key: bytes, low: bytes, high: bytes, *options: bytes) -> Reply:
    found = _between(db.read(Scores, key), low, high)
    if b"LIMIT" in options:
        at = options.index(b"LIMIT")
        skip, count = integer(options[at + 1]), integer(options[at + 2])
        found = found[skip : skip + count if count >= 0 else None]
    return _answer(found, b"WITHSCORES" in options)


def zremrangebyscore(db: Keyspace, key: bytes, low: bytes, high: bytes) -> Reply:
    found = db.read(Scores, key)
    gone = _between(found, low, high)
    for _, member in gone:
        del found[member]
    db.tidy(key)
    return len(gone)


def _id_text(entry: StreamId) -> bytes:
    return b"%d-%d" % entry


def _id(text: bytes, missing: int) -> StreamId:
    if text in (b"-", b"+"):
        return (0, 0) if text == b"-" else (_ID_MAX, _ID_MAX)
    time, dash, number = text.partition(b"-")
    try:
        return int(time), int(number) if dash else missing
    except ValueError as error:
        raise ReplyError("ERR Invalid stream ID specified as stream command argument") from error


def xadd(db: Keyspace, key: bytes, entry: bytes, *fields: bytes) -> Reply:
    """With an id of the caller's own; trimming while adding is not built."""
    at = _id(entry, 0)
    if not fields or len(fields) % 2:
        raise ReplyError("ERR wrong number of arguments for 'xadd' command")
    if at == (0, 0):
        raise ReplyError("ERR The ID specified in XADD must be greater than 0-0")
    last = db.read(Stream, key).last
    if at <= last:
        raise ReplyError(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item"
        )
    stream = db.write(Stream, key)
    stream.entries.append((at, list(fields)))
    stream.last = at
    return _id_text(at)


def xlen(db: Keyspace, key: bytes) -> Reply:
    return len(db.read(Stream, key).entries)


def xrange(db: Keyspace, key: bytes, first: bytes, last: bytes, *options: bytes) -> Reply:
    begin, end = _id(first, 0), _id(last, _ID_MAX)
    entries = [e for e in db.read(Stream, key).entries if begin <= e[0] <= end]
    if options:
        if len(options) != 2 or options[0].upper() != b"COUNT":
            raise ReplyError(SYNTAX)
        entries = entries[: max(integer(options[1]), 0)]
    return [[_id_text(at), [*fields]] for at, fields in entries]


def xtrim(db: Keyspace, key: bytes, how: bytes, threshold: bytes) -> Reply:
    stream = db.read(Stream, key)
    before = len(stream.entries)
    if how.upper() == b"MINID":
        least = _id(threshold, 0)
        stream.entries = [entry for entry in stream.entries if entry[0] >= least]
    elif how.upper() == b"MAXLEN":
        most = integer(threshold)
        stream.entries = stream.entries[-most:] if most else []
    else:
        raise ReplyError(SYNTAX)
    return before - len(stream.entries)


COMMANDS: dict[bytes, Callable[..., Reply]] = {
    b"ZADD": zadd, b"ZREM": zrem, b"ZCARD": zcard, b"ZSCORE": zscore, b"ZINCRBY": zincrby,
    b"ZRANGE": zrange, b"ZRANGEBYSCORE": zrangebyscore, b"ZREMRANGEBYSCORE": zremrangebyscore,
    b"XADD": xadd, b"XLEN": xlen, b"XRANGE": xrange, b"XTRIM": xtrim,
}  # fmt: skip
"""Each takes the keyspace and its arguments."""

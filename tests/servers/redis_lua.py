"""Lua in the in-memory Redis: the shipped scripts on a real Lua 5.1, with Redis's own bridge.

A script that fails half way keeps what it has written, as in Redis. Of the libraries there is
`struct`, in the formats of whole numbers; globals can't be made.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import lupa.lua51 as lua51

from tests.servers.redis_values import Reply, ReplyError, Status

Execute = Callable[[tuple[bytes, ...]], Reply]

_PRELUDE = b"""
local execute, pack, unpack = ...
redis, struct = {}, {pack = pack, unpack = unpack}
function redis.pcall(...) return execute(...) end
function redis.call(...)
  local reply = execute(...)
  if type(reply) == 'table' and reply.err then error(reply.err, 0) end
  return reply
end
function redis.error_reply(text) return {err = text} end
function redis.status_reply(text) return {ok = text} end
io, os, dofile, loadfile, require, module, package = nil
debug = {traceback = function(text) return text end} -- the bridge asks for it
python = nil
local globals, load, protected = _G, loadstring, pcall
local function run(script, keys, arguments)
  rawset(globals, 'KEYS', keys)
  rawset(globals, 'ARGV', arguments)
  return protected(script)
end
setmetatable(_G, {
  __newindex = function(_, name)
    error('Script attempted to create global variable ' .. tostring(name), 2)
  end,
  __index = function(_, name)
    error('Script attempted to access nonexistent global variable ' .. tostring(name), 2)
  end,
})
return {load = load, run = run}
"""
_FORMAT = re.compile(rb"([<>])([iI])(\d)")


def _layout(text: bytes) -> tuple[int, Any, bool]:
    found = _FORMAT.fullmatch(text)
    if found is None:
        raise ValueError(f"struct format {text!r} is not built")
    return int(found[3]), "little" if found[1] == b"<" else "big", found[2] == b"i"


def _pack(layout: bytes, number: float) -> bytes:
    size, order, signed = _layout(layout)
    return int(number).to_bytes(size, order, signed=signed)


def _unpack(layout: bytes, data: bytes, at: int = 1) -> tuple[int, int]:
    size, order, signed = _layout(layout)
    piece = data[at - 1 : at - 1 + size]
    if len(piece) < size:
        raise ValueError("data string too short")
    return int.from_bytes(piece, order, signed=signed), at + size


class Scripts:
    """The scripts of one server, by their SHA-1."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self.rewrite: Callable[[bytes, bytes], bytes] = lambda sha, text: text
        """What is run instead of a script, under its SHA-1: tests plant faults with it."""
        self._lua = lua51.LuaRuntime(
            encoding=None, register_eval=False, register_builtins=False, unpack_returned_tuples=True
        )
        self._loaded: dict[bytes, tuple[bytes, Any]] = {}
        start = self._lua.eval(b"function(text, ...) return loadstring(text)(...) end")
        bridge = start(_PRELUDE, self._call, _pack, _unpack)
        self._load, self._run = bridge[b"load"], bridge[b"run"]

    def load(self, text: bytes) -> bytes:
        """Answers the SHA-1 of a script that can be run from now on."""
        sha = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        if sha not in self._loaded:
            loaded = self._load(self.rewrite(sha, text), b"@user_script")
            if isinstance(loaded, tuple):
                raise ReplyError(f"ERR Error compiling script: {loaded[1].decode()}")
            self._loaded[sha] = text, loaded
        return sha

    def known(self, sha: bytes) -> bool:
        return sha.lower() in self._loaded

    def forget(self) -> None:
        """As a restart does."""
        self._loaded.clear()

    def run(self, sha: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Reply:
        """Runs a loaded script to its end, or to its error."""
        if not self.known(sha):
            raise ReplyError("NOSCRIPT No matching script. Please use EVAL.")
        script = self._loaded[sha.lower()][1]
        result = self._run(script, self._lua.table_from(keys), self._lua.table_from(arguments))
        ok, value = result[:2] if isinstance(result, tuple) else (result, None)
        if not ok:
            said = value.decode() if isinstance(value, bytes) else str(value)
            raise ReplyError(f"ERR Error running script (call to f_{sha.decode()}): {said}")
        return self._to_reply(value)

    def _call(self, *words: Any) -> Any:
        try:
            words = tuple([word if type(word) is bytes else _word(word) for word in words])
            reply = self._execute(words)
            # the two that nearly all replies are need no look
            return reply if type(reply) is bytes or type(reply) is int else self._to_lua(reply)
        except ReplyError as error:
            return self._lua.table_from({b"err": str(error).encode()})

    def _to_lua(self, reply: Reply) -> Any:
        if reply is None:
            return False
        if isinstance(reply, Status):
            return self._lua.table_from({b"ok": bytes(reply)})
        if isinstance(reply, list):
            return self._lua.table_from([self._to_lua(each) for each in reply])
        if isinstance(reply, ReplyError):
            return self._lua.table_from({b"err": str(reply).encode()})
        return reply

    def _to_reply(self, value: Any) -> Reply:
        if value is None or value is False:
            return None
        if value is True:
            return 1
        if isinstance(value, bytes):
            return value
        if isinstance(value, (int, float)):
            return int(value)
        if (text := value[b"err"]) is not None:
            return ReplyError(text.decode())
        if (text := value[b"ok"]) is not None:
            return Status(text)
        answer: list[Reply] = []
        while (item := value[len(answer) + 1]) is not None:
            answer.append(item if type(item) is bytes else self._to_reply(item))
        return answer


def _word(word: Any) -> bytes:
    """An argument of redis.call as Redis takes it."""
    if isinstance(word, bytes):
        return word
    if isinstance(word, (int, float)) and not isinstance(word, bool):
        return b"%.17g" % word
    raise ReplyError("ERR Lua redis() command arguments must be strings or integers")

"""Password hashes: Argon2id in a few threads behind a bounded queue.

One hash costs about 0.15 s and 64 MB, so the number of threads bounds the memory that logins
can take, and the bound of the queue keeps a flood of logins from waiting for minutes.
"""

import asyncio
import os
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import BoundedSemaphore
from typing import TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from adapters.errors import AdapterError

THREADS = 2
WAITING_MAX = 32
ITERATIONS = 3
LANES = 1
"""More than one makes OpenSSL start threads of its own, and two hashes at once then wait for
each other for ever (seen with cryptography 50)."""
MEMORY_KIB = 65536
HASH_BYTES = 32
SALT_BYTES = 16

UNKNOWN_ACCOUNT_HASH = (
    "$argon2id$v=19$m=65536,t=3,p=1$1vo4UUJTG9m7fYEnBI6DXg"
    "$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
)
"""Checked where there is no account, so that the answer takes the same time. No password
is known to give it."""


R = TypeVar("R")


class PasswordsBusy(AdapterError):
    """More logins are waiting than can be served in reasonable time."""


class PasswordHasher:
    """Hashes and checks passwords off the event loop. One for each process; close it."""

    def __init__(self, *, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password")
        self._places = BoundedSemaphore(threads + waiting_max)

    async def hash(self, password: str) -> str:
        """A new PHC string with a random salt. Raises PasswordsBusy."""
        return await self._run(partial(_hash, password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Whether the password gives the stored hash; as slow for None. Raises PasswordsBusy."""
        matches = await self._run(partial(_matches, password, stored or UNKNOWN_ACCOUNT_HASH))
        return matches and stored is not None

    def close(self) -> None:
        """Ends the threads; what is waiting is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], R]) -> R:
        if not self._places.acquire(blocking=False):
            raise PasswordsBusy("too many logins at once")
        try:
            future = self._pool.submit(work)
        except RuntimeError:
            self._places.release()
            raise
        # Given back when the thread is done, not when the caller went away: a client that
        # hangs up early must not make room for the next one.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def _bytes(password: str) -> bytes:
    return unicodedata.normalize("NFKC", password).encode("utf-8")


def _hash(password: str) -> str:
    argon2 = Argon2id(
        salt=os.urandom(SALT_BYTES),
        length=HASH_BYTES,
        iterations=ITERATIONS,
        lanes=LANES,
        memory_cost=MEMORY_KIB,
    )
    return argon2.derive_phc_encoded(_bytes(password))


def _matches(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(_bytes(password), stored)
    except InvalidKey:
        return False
    return True

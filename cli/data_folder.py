"""The data folder of `artic up`: one supervisor at a time, and nothing left running by an earlier
one.
"""

import fcntl
import os
import signal
from pathlib import Path
from typing import TextIO

from adapters.embedded_place import make_data_dir
from adapters.processes import stop_leftover
from cli.terminal import CommandError

_LEFTOVER_STOP_S = 10.0
_SERVERS = {"postgres.pid", "redis.pid"}
"""The servers deal with their own leftovers when they start; they have to outlive the others."""


def take_folder(data_dir: Path) -> TextIO:
    """Makes the folder if needed and locks it for this process; the lock goes with the file object.

    Raises ProcessError when it cannot be written, CommandError when another supervisor has it.
    """
    make_data_dir(data_dir)
    try:
        lock = (data_dir / "up.lock").open("a+")
    except OSError as error:
        raise CommandError(f"cannot write {data_dir}/up.lock: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise CommandError(f"artic up already runs on {data_dir} (process {owner})") from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


async def stop_leftovers(data_dir: Path) -> None:
    """Ends the processes of a supervisor that was killed, all but the two servers."""
    for pid_path in sorted((data_dir / "run").glob("*.pid")):
        if pid_path.name not in _SERVERS:
            await stop_leftover(pid_path, signal.SIGTERM, _LEFTOVER_STOP_S)

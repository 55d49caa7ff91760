"""`artic up`: everything on this machine under one supervisor, until Ctrl-C.

Start: PostgreSQL, Redis, migrations, workers, hub, agent endpoint. Stop, whatever was reached by
then: the reverse, with an orderly stop of the pool marked between the workers and Redis. A second
Ctrl-C hurries, and skips nothing.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.embedded_postgres import EmbeddedPostgres, check_postgres
from adapters.embedded_redis import EmbeddedRedis, check_redis
from adapters.errors import AdapterError
from adapters.processes import ProcessError
from adapters.settings import Settings, SettingsError, load_settings
from cli.checks import check_ports, check_price_source
from cli.child import Child, ending
from cli.data_folder import stop_leftovers, take_folder
from cli.demo import FILE_NAME as demo_file
from cli.demo import open_demo
from cli.own_secrets import own_secrets
from cli.parts import MakeParts, Parts
from cli.readiness import price_line, until_ready
from cli.restarts import Restarts
from cli.running import told_to_others
from cli.terminal import CommandError, complain, say

_WATCH_S = 0.5
_SERVER_WAITS_S = (0.5, 1.0, 2.0, 5.0)


class Server(Protocol):
    """An embedded server."""

    async def start(self) -> str: ...
    async def stop(self) -> None: ...
    def has_died(self) -> bool: ...


@dataclass(frozen=True)
class UpOptions:
    """`flags` are settings from the command line, which win over the environment."""

    flags: Mapping[str, str]
    make_parts: MakeParts
    with_demo: bool = True


def up(options: UpOptions) -> int:
    """Runs until a signal. The exit status: 0 after an orderly stop, 1 with one line on stderr."""
    try:
        asyncio.run(Supervisor(options).run())
    except (CommandError, SettingsError, AdapterError, OSError) as error:
        complain(error)
        return 1
    return 0


class Supervisor:
    """One run of `artic up`. What was started stands on a stack and is stopped from its top."""

    def __init__(self, options: UpOptions) -> None:
        self._options = options
        self._hurry = asyncio.Event()
        self._children: list[Child] = []
        self._watches: list[asyncio.Task[None]] = []
        self._work: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def run(self) -> None:
        """Returns after an orderly stop; raises what kept it from starting."""
        self._work = asyncio.create_task(self._live())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop_asked)
        try:
            await self._work
        except asyncio.CancelledError:
            say("Stopped.")

    def _stop_asked(self) -> None:
        if self._is_stopping:
            self._hurry.set()
        elif self._work is not None:
            say("Stopping ...")
            self._is_stopping = True
            self._work.cancel()

    async def _live(self) -> None:
        told = load_settings(os.environ | dict(self._options.flags), needs=())
        check_price_source(told.price_source)
        with take_folder(told.data_dir):
            await stop_leftovers(told.data_dir)
            check_ports(told)
            say(f"Starting, with everything kept in {told.data_dir} ...")
            async with AsyncExitStack() as running:
                try:
                    await self._start_all(told, running)
                    await asyncio.gather(*self._watches)
                finally:
                    # from here on a signal hurries, and interrupts nothing
                    self._is_stopping = True
                    await self._end_watches()

    async def _start_all(self, told: Settings, running: AsyncExitStack) -> None:
        began = time.monotonic()
        secrets = own_secrets(told.data_dir, told.environment())
        servers = await self._start_servers(told, running)
        settings = load_settings(told.environment() | secrets | servers)
        parts = self._options.make_parts(settings)
        await parts.migrate(settings.database_url)
        await self._start_parts(parts, settings.data_dir, running)
        await until_ready(settings, self._children)
        running.enter_context(told_to_others(settings))
        say(f"Hub ready on {settings.own_hub_url} ({time.monotonic() - began:.1f} s)")
        say(f"Agent endpoint on http://{settings.shim_host}:{settings.shim_port}")
        if (line := await price_line(settings)) is not None:
            say(line)
        if self._options.with_demo:
            await _tell_demo(settings)
        say("Ctrl-C stops everything.")
        self._watches += [asyncio.create_task(child.keep_running()) for child in self._children]

    async def _start_servers(self, told: Settings, running: AsyncExitStack) -> dict[str, str]:
        """The URLs of both servers, which are ours unless the settings name others."""
        urls = {}
        if told.database_url:
            await check_postgres(told.database_url)
        else:
            postgres = EmbeddedPostgres(told.data_dir)
            urls["ARTIC_DATABASE_URL"] = await self._start_server("PostgreSQL", postgres, running)
        if told.redis_url:
            await check_redis(told.redis_url)
        else:
            redis = EmbeddedRedis(told.data_dir)
            urls["ARTIC_REDIS_URL"] = await self._start_server("Redis", redis, running)
        if told.queue_redis_url != told.redis_url:
            await check_redis(told.queue_redis_url, "ARTIC_QUEUE_REDIS_URL")
        return urls

    async def _start_server(self, name: str, server: Server, running: AsyncExitStack) -> str:
        url = await server.start()
        running.push_async_callback(server.stop)
        self._watches.append(asyncio.create_task(_keep_server(name, server)))
        return url

    async def _start_parts(self, parts: Parts, data_dir: Path, running: AsyncExitStack) -> None:
        workers = [Child(part, data_dir, self._hurry) for part in parts.workers]
        running.push_async_callback(self._run_to_end, Child(parts.pause, data_dir, self._hurry))
        running.push_async_callback(_stop_all, workers)
        for worker in workers:
            await worker.start()
        self._children += workers
        for part in (parts.hub, parts.shim):
            child = Child(part, data_dir, self._hurry)
            running.push_async_callback(child.stop)
            await child.start()
            self._children.append(child)

    async def _run_to_end(self, child: Child) -> None:
        """Runs a part that ends by itself, within the time it has."""
        await child.start()
        try:
            async with asyncio.timeout(child.part.stop_s):
                status = await child.wait()
            if status != 0:
                say(f"{child.part.name} failed ({ending(status)}): {child.last_words()}")
        except TimeoutError:
            say(f"{child.part.name} failed: not done after {child.part.stop_s:g} s")
        finally:
            await child.stop()

    async def _end_watches(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)


async def _stop_all(children: list[Child]) -> None:
    await asyncio.gather(*(child.stop() for child in children))


async def _keep_server(name: str, server: Server) -> None:
    """Starts an embedded server again when it dies."""
    clock = asyncio.get_running_loop().time
    restarts, started = Restarts(_SERVER_WAITS_S), clock()
    while True:
        await asyncio.sleep(_WATCH_S)
        if not server.has_died():
            continue
        delay_s = restarts.wait_s(clock() - started)
        say(f"{name} ended; starting it again in {delay_s:g} s")
        await asyncio.sleep(delay_s)
        started = clock()
        try:
            await server.start()
            say(f"{name} is back")
        except (ProcessError, OSError) as error:
            say(f"{name} cannot be started: {error}")


async def _tell_demo(settings: Settings) -> None:
    try:
        demo = await open_demo(settings.own_hub_url, settings.data_dir)
    except CommandError as error:
        say(f"No demo account: {error}")
        return
    found = f"{demo.agents} paper agents made" if demo.is_new else f"{demo.agents} agents found"
    say(f"Demo account: {demo.email}, password {demo.password}; {found}")
    say(f"(it is kept in {settings.data_dir / demo_file})")

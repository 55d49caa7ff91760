"""The network of the simulation: every exchange with a server takes its time and may go wrong.

An exchange is where processes die, stand still or lose an answer, since only there does it matter
to others: before the server has seen it, or after, without its reply.
"""

import asyncio
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tests.servers.memory_redis import Command, MemoryRedis, Session
from tests.simulation.schedule import Moment
from tests.simulation.virtual_loop import (
    OUTSIDE,
    Process,
    VirtualLoop,
    context_of,
    pass_time,
    present_process,
)

SLOW_S = 1.0
"""An exchange takes so long at most while the network is slow."""

Act = Literal["kill", "pause", "cut"]


class Belonging(Protocol):
    """What the system closes when a process dies."""

    def close(self) -> None: ...


@dataclass
class Ambush:
    """A mishap that waits for an exchange of a process; the first `skip` are let through.

    on: what the exchange is to hold (a script, a command, a word of SQL), '' for any.
    """

    act: Act
    moment: Moment
    on: str
    skip: int
    seconds: float = 0.0  # of a pause, at most
    until: str = ""  # a pause ends when another process has had an exchange with this,
    then_s: float = 0.0  # so much later


class Wire:
    """What all exchanges have in common."""

    def __init__(self, loop: VirtualLoop, rng: random.Random) -> None:
        self.loop = loop
        self.over = False
        """At the end nothing answers any more, so that whatever still runs can be ended."""
        self.slow_until = 0.0
        """Until then exchanges take long, and what was sent together comes one by one."""
        self.calm = False
        """Exchanges take no time."""
        self.sprung: list[str] = []
        self._rng = rng
        self._ambushes: dict[Process, list[Ambush]] = {}
        self._held: dict[Process, Ambush] = {}
        """Paused until another process gets on."""
        self._belongings: dict[Process, list[Belonging]] = {}

    def lay(self, process: Process, ambush: Ambush) -> None:
        """From now on a mishap waits for a process."""
        self._ambushes.setdefault(process, []).append(ambush)

    def lift_all(self) -> None:
        """Nothing waits for anybody any more."""
        self._ambushes.clear()
        self._held.clear()

    def own(self, belonging: Belonging) -> None:
        """Notes what the present process has opened."""
        self._belongings.setdefault(present_process(), []).append(belonging)

    def travel_s(self) -> float:
        """How long an exchange takes: mostly well below a millisecond, now and then far more."""
        if self.loop.now < self.slow_until:
            return self._rng.random() ** 2 * SLOW_S
        slow = self._rng.random()
        return self._rng.random() * (0.0008 if slow < 0.97 else 0.03 if slow < 0.998 else 0.4)

    def is_torn(self) -> bool:
        """Whether a pipeline comes to the server in pieces."""
        often = 0.5 if self.loop.now < self.slow_until else 0.03
        return not self.calm and self._rng.random() < often

    async def before(self, what: Collection[str]) -> None:
        """Called in front of every exchange. Raises OSError where the way is cut."""
        if self.over:
            raise ConnectionResetError("the simulation is over")
        if self._ambushes:
            await self._spring("before", what)

    async def amid(self, what: Collection[str]) -> bool:
        """Called between two commands of one pipeline. Says whether there was a mishap.

        Raises OSError where the way is cut.
        """
        return bool(self._ambushes) and await self._spring("amid", what)

    async def after(self, what: Collection[str]) -> None:
        """Called when the server has done its part: the answer is on its way."""
        if self.calm:
            return
        if self._held:
            self._let_go(what)
        await pass_time(self.travel_s())
        if self._ambushes:
            await self._spring("after", what)

    async def _spring(self, moment: Moment, what: Collection[str]) -> bool:
        process = present_process()
        waiting = self._ambushes.get(process, [])
        for ambush in waiting:
            if ambush.moment == moment and (not ambush.on or ambush.on in what):
                break
        else:
            return False
        if ambush.skip > 0:
            ambush.skip -= 1
            return False
        waiting.remove(ambush)
        self.sprung.append(f"{self.loop.now:.3f} {ambush.act} {process.name} {moment} {set(what)}")
        if ambush.act == "cut":
            raise ConnectionResetError("the simulated network cut the connection")
        if ambush.act == "kill":
            self.kill(process)
        else:
            self.pause(process, ambush.seconds)
            if ambush.until:
                self._held[process] = ambush
        await asyncio.sleep(0)  # from where the dead do not come back, and the paused late
        return True

    def _let_go(self, what: Collection[str]) -> None:
        """Lets those go on who were held until another process has done this."""
        mine = present_process()
        for process, ambush in list(self._held.items()):
            if ambush.until in what and process is not mine:
                del self._held[process]
                self._resume_in(ambush.then_s, process)

    def pause(self, process: Process, seconds: float) -> None:
        """As SIGSTOP, and SIGCONT some time later."""
        process.paused = True
        self._resume_in(seconds, process)

    def _resume_in(self, seconds: float, process: Process) -> None:
        resume, outside = self.loop.resume, context_of(OUTSIDE)
        self.loop.call_later(seconds, resume, process, context=outside)

    def kill(self, process: Process) -> None:
        """As SIGKILL: not one more callback; what the system knows of it is closed."""
        process.alive = False
        self.loop.resume(process)
        self._ambushes.pop(process, None)
        for belonging in self._belongings.pop(process, []):
            belonging.close()


class RedisLink:
    """The way of all simulated processes to one Redis in memory."""

    def __init__(self, wire: Wire, server: MemoryRedis) -> None:
        self._wire = wire
        self._server = server
        self.names: dict[bytes, str] = {}
        """SHA-1 of each script that was loaded, to its name."""

    async def connect(self) -> Session:
        await self._wire.before(("connect",))
        session = self._server.connect()
        self._wire.own(session)
        await self._wire.after(("connect",))
        return session

    async def send(self, session: Session, commands: Sequence[Command]) -> None:
        what = {self._name(command) for command in commands}
        await self._wire.before(what)
        torn, struck = len(commands) > 1 and self._wire.is_torn(), False
        for number, command in enumerate(commands):
            if number and not struck:
                struck = await self._wire.amid(what)
            if torn and number and not self._wire.over:
                await pass_time(self._wire.travel_s())  # others get in between
            session.send(command)
        try:
            await self._wire.after(what)
        except ConnectionResetError:
            session.close()
            raise

    def _name(self, command: Command) -> str:
        word = command[0]
        if word == b"EVALSHA":
            return self.names.get(command[1], "a script")
        return word.decode()

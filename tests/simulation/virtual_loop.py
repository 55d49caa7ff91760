"""An event loop whose time is a number: it jumps to the next timer, and nothing waits.

Every callback belongs to the simulated process in whose context it was scheduled. One that was
killed runs none of its callbacks any more, whatever they were waiting for; one that is paused runs
them when it goes on. So a process can die or stand still between any two awaits, as by SIGKILL and
SIGSTOP. The same calls in the same order give the same run.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Callback = Callable[..., object]


class Process:
    """A simulated operating-system process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.clock_ahead_s = 0.0
        """How far the clock on its wall is ahead of the virtual one."""
        self.slept_s = 0.0
        """How far its monotonic clock is ahead: a machine that slept knows no better."""
        self.held: list[_Handle | _Timer] = []
        """Callbacks that came while it was paused."""

    def __repr__(self) -> str:
        return f"<{self.name}>"


OUTSIDE = Process("outside")
"""Whatever belongs to none of the simulated processes: servers and the simulation itself."""

_process: contextvars.ContextVar[Process] = contextvars.ContextVar("process", default=OUTSIDE)


def present_process() -> Process:
    """The process that runs now."""
    return _process.get()


def context_of(process: Process) -> contextvars.Context:
    """A context in which everything that is scheduled belongs to a process."""
    context = contextvars.copy_context()
    context.run(_process.set, process)
    return context


STEPS_MAX = 500_000
"""Some twenty times what a run takes."""


class Stalled(Exception):
    """Nothing is left to do and what was waited for has not come, or it takes for ever."""


class _Handle(asyncio.Handle):
    """A callback of a process."""

    __slots__ = ("process",)

    def __init__(
        self, callback: Callback, args: Any, loop: "VirtualLoop", context: contextvars.Context
    ) -> None:
        super().__init__(callback, args, loop, context)
        self.process = context.get(_process, OUTSIDE)


class _Timer(asyncio.TimerHandle):
    """A callback of a process, for later."""

    __slots__ = ("process",)

    def __init__(
        self,
        when: float,
        callback: Callback,
        args: Any,
        loop: "VirtualLoop",
        context: contextvars.Context,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.process = context.get(_process, OUTSIDE)


class VirtualLoop(asyncio.BaseEventLoop):
    """Enough of a loop for code that does no real I/O."""

    def __init__(self, start: float) -> None:
        self._running = False
        super().__init__()
        self.now = start
        self.steps = 0
        self._ready: deque[_Handle | _Timer] = deque()
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = count()
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_max = 1_000
        self._closed = False
        self._ending = False
        self._buried: list[_Handle | _Timer] = []
        """What the dead did not come to; it is done with when everything ends."""
        self._error: Exception | None = None
        self.unhandled: list[dict[str, Any]] = []
        """What nobody took care of, as asyncio tells it."""

    def fail(self, error: Exception) -> None:
        """Ends the run with an error, whoever is running."""
        self._error = self._error or error

    def time(self) -> float:
        return self.now

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context or contextvars.copy_context())
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = _Timer(when, callback, args, self, context or contextvars.copy_context())
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio tells so; a canceled timer is passed over when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: object = None,
        context: contextvars.Context | None = None,
    ) -> asyncio.Task[T]:
        task = asyncio.Task(coro, loop=self, name=str(name) if name else None, context=context)
        # Kept, so that the tasks of a dead process are not taken apart by the garbage collector.
        self._tasks.append(task)
        if len(self._tasks) > self._tasks_max:
            self._tasks = [each for each in self._tasks if not each.done()]
            self._tasks_max = 2 * len(self._tasks) + 1_000
        return task

    def run_in_executor(
        self, executor: Any, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """At once: there are no threads, so that the order stays the same."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        """There is nothing to shut down."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.unhandled.append(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.unhandled.append(context)

    def run_until_complete(self, future: Any) -> Any:
        """Runs until a coroutine or future is done. Raises Stalled where it never will be."""
        asyncio.events._set_running_loop(self)
        self._running = True
        try:
            goal = asyncio.ensure_future(future, loop=self)
            while not goal.done():
                self._step()
                if self._error is not None:
                    raise self._error
        finally:
            self._running = False
            asyncio.events._set_running_loop(None)
        return goal.result()

    def _step(self) -> None:
        """Runs one callback, the next in time."""
        if not self._ready:
            while self._timers and self._timers[0][2].cancelled():
                heapq.heappop(self._timers)
            if not self._timers:
                raise Stalled
            self.now = max(self.now, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self.now:
                self._ready.append(heapq.heappop(self._timers)[2])
        handle = self._ready.popleft()
        if handle.cancelled():
            return
        process = handle.process
        if (process.paused or not process.alive) and not self._ending:
            (process.held if process.alive else self._buried).append(handle)
            return
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stalled(f"{STEPS_MAX} steps, and no end: {handle!r}")
        handle._run()

    def cancel_all(self) -> None:
        """Ends every task, those of dead and paused processes too."""
        self._ending, self._error, self.steps = True, None, 0
        self._ready.extend(self._buried)
        while pending := [task for task in self._tasks if not task.done()]:
            for task in pending:
                task.cancel()
            self.run_until_complete(asyncio.wait(pending, timeout=60))

    def resume(self, process: Process) -> None:
        """Lets a paused process go on where it stood."""
        process.paused = False
        self._ready.extend(process.held)
        process.held.clear()


async def pass_time(seconds: float) -> None:
    """Waits in virtual time alone: nothing waits for real."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "nobody waits for the clock on the wall"
    woken: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, _wake, woken)
    try:
        await woken
    finally:
        timer.cancel()


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)

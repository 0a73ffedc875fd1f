"""A session's interrupt: waits, a thread that waits, and waits of asyncio."""

from __future__ import annotations

import enum
import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Deque, Optional, Tuple, Type, Union

from .errors import KpError, KpTimeout, Status, error
from .node import ANY_VECTOR, MAX_VECTORS, NO_TIMEOUT, U32_MAX, Counters, Node, Notification
from .wire import BytesLike, as_bytes

if TYPE_CHECKING:
    import asyncio

    from .session import Device

#: How many vectors: so many, or at least and at most so many.
Vectors = Union[int, Tuple[int, int]]

#: How an interrupt that is over ends a wait; any other status is an error.
_OVER = (Status.INT_DISABLED, Status.NOT_ENABLED, Status.CLOSED)

#: So long nothing is asked when as many calls are inside as may be, in seconds.
_CALLS_END = 0.001

#: What no descriptor tells of is asked for so often, in seconds: a storm, and an interrupt that the driver has ended.
_LOOK_AGAIN = 1.0


class Kind(enum.IntFlag):
    """Kinds of interrupt."""

    #: Level-triggered, perhaps shared: INTx.
    LINE = 1
    MSI = 2
    MSIX = 4
    #: Whichever there is, best first: MSI-X, MSI, line.
    ANY = 7


class Interrupts:
    """An interrupt that is enabled. Made by `interrupts` of a device; `with` disables it at its end, and so does the garbage collection.

    `async for` takes notification by notification, and ends when the interrupt is disabled or the device closed.
    """

    def __init__(self, device: Device, kinds: int, vectors: Vectors, data: BytesLike) -> None:
        self._is_off = True  # as long as there is nothing to disable
        self._is_asked = True  # whether who drops it asks first if it has ended by itself
        if not 0 < kinds <= Kind.ANY:
            raise ValueError(f"kinds: {kinds:#x} is no Kind")
        least, most = (vectors, vectors) if isinstance(vectors, int) else vectors
        if not 0 < least <= most <= MAX_VECTORS:
            raise ValueError(f"vectors: from {least} to {most}, and there are from 1 to {MAX_VECTORS}")
        self._device, self._node = device, device._kp_node
        self._kept: Deque[Notification] = deque()
        enabled = self._node.int_enable(int(kinds), least, most, as_bytes(data, "data"))
        self._is_off = False
        #: How many vectors it got.
        self.count: int = enabled.vectors
        #: Number of this enabling; each one has its own counters.
        self.generation: int = enabled.generation
        if enabled.kind not in (Kind.LINE, Kind.MSI, Kind.MSIX):
            self._off()
            raise error(Status.PROTOCOL, 0, "INT_ENABLE")
        #: The kind that it got.
        self.kind: Kind = Kind(enabled.kind)

    def wait(self, timeout: Optional[float] = None, *, vector: Optional[int] = None, most: int = 1) -> Notification:
        """Waits for notifications of a vector, or of any, and takes up to `most` of it.

        `timeout` is in seconds; None has no end, 0 only asks. KpTimeout if none came, which is a TimeoutError; KpError: INT_DISABLED or
        CLOSED if the wait was ended, DEVICE_GONE, INTERRUPT_STORM, BAD_VECTOR.
        """
        if vector is not None and not 0 <= vector < ANY_VECTOR:
            raise ValueError(f"vector is from 0, not {vector}")
        if not 1 <= most <= U32_MAX:
            raise ValueError(f"most is from 1, not {most}")
        return self._wait(nanoseconds(timeout), ANY_VECTOR if vector is None else vector, most)

    def _wait(self, timeout_ns: int, vector: int, most: int) -> Notification:
        for kept in list(self._kept):
            if vector in (ANY_VECTOR, kept.vector):
                try:
                    self._kept.remove(kept)
                    return kept
                except ValueError:
                    pass  # another thread has been first
        # A later enabling of the same session is none of this one's.
        if self._is_off:
            raise error(Status.CLOSED if self._node.is_closed else Status.INT_DISABLED, 0, "INT_WAIT")
        return self._node.int_wait(timeout_ns, vector, most)

    def counters(self, vector: Optional[int] = None) -> Counters:
        """The counters since it was enabled: of a vector, or of all together."""
        if vector is not None and not 0 <= vector < ANY_VECTOR:
            raise ValueError(f"vector is from 0, not {vector}")
        return self._node.int_count(ANY_VECTOR if vector is None else vector)

    def disable(self) -> Counters:
        """Disables the interrupt, and reads its final counters. Waits end with INT_DISABLED.

        KpError: TOO_MANY_CALLS if other threads have all the calls that there may be; it is enabled still.
        """
        if self._is_off:
            raise error(Status.CLOSED if self._node.is_closed else Status.NOT_ENABLED, 0, "INT_DISABLE")
        self._is_off = True
        try:
            return self._node.int_disable()
        except KpError as refused:
            self._is_off = refused.status != Status.TOO_MANY_CALLS
            raise
        finally:
            self._node.wake()

    def _until_off(self, is_asked: bool) -> Counters:
        """As `disable`, and again as long as other threads have all the calls that there may be: nothing ends meanwhile.

        `is_asked`: the driver is asked first whether this enabling is its last one. If this one has ended by itself, a later one of the same
        session is somebody else's.
        """
        while True:
            try:
                if is_asked and not self._is_off and self._node.int_generation() != self.generation:
                    self._is_off = True
                    self._node.wake()
                return self.disable()
            except KpError as refused:
                if refused.status != Status.TOO_MANY_CALLS:
                    raise
            time.sleep(_CALLS_END)

    def fileno(self) -> int:
        """A descriptor for select, selectors and poll(2): readable when a notification can be taken, and when the session is over.

        It shows no storm: that comes by `wait` alone. Not on Windows.
        """
        return self._node.fileno()

    def _off(self) -> None:
        """Disables it, whatever has become of it: one that cannot be disabled is off already."""
        if not self._is_off:
            try:
                self._until_off(self._is_asked)
            except KpError:
                pass

    def __enter__(self) -> Interrupts:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], raised: Optional[BaseException], trace: Any) -> None:
        self._off()

    def __del__(self) -> None:
        self._off()

    def __aiter__(self) -> AsyncNotifications:
        return AsyncNotifications(self)

    def __repr__(self) -> str:
        state = "disabled" if self._is_off else "enabled"
        return f"<Interrupts: {self.kind.name}, {self.count} vectors, {state}>"


class AsyncNotifications(AsyncIterator[Notification]):
    """The notifications of an interrupt, as asyncio takes them."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts

    def __aiter__(self) -> AsyncNotifications:
        return self

    async def __anext__(self) -> Notification:
        while True:
            try:
                return self._interrupts._wait(0, ANY_VECTOR, 1)
            except KpTimeout:
                pass
            except KpError as ended:
                if ended.status in _OVER:
                    raise StopAsyncIteration from None
                raise
            taken = await self._come()
            if taken is not None:
                return taken

    async def aclose(self) -> None:
        """Disables the interrupt."""
        self._interrupts._off()

    async def _come(self) -> Optional[Notification]:
        """Waits until there may be a notification; where no descriptor says so, until one was taken."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[Optional[Notification]] = loop.create_future()
        node = self._interrupts._node

        def look() -> None:
            if not future.done():
                future.set_result(None)

        def look_from_anywhere() -> None:
            try:
                loop.call_soon_threadsafe(look)
            except RuntimeError:
                pass  # the loop is closed

        node.add_waker(look_from_anywhere)
        try:
            if self._interrupts._is_off or node.is_closed:
                return None
            descriptor = _duplicate(node)
            if descriptor is not None:
                try:
                    loop.add_reader(descriptor, look)
                except NotImplementedError:
                    os.close(descriptor)
                    descriptor = None
            if descriptor is None:
                return await _by_thread(self._interrupts, loop, future, look_from_anywhere)
            try:
                await asyncio.wait([future], timeout=_LOOK_AGAIN)
            finally:
                loop.remove_reader(descriptor)
                os.close(descriptor)
            return None
        finally:
            node.remove_waker(look_from_anywhere)


def _duplicate(node: Node) -> Optional[int]:
    """A descriptor of its own: a loop has one reader for each. None where there is none to be had."""
    try:
        return node.duplicate()
    except (OSError, NotImplementedError, KpError):
        return None


async def _by_thread(
    interrupts: Interrupts,
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Optional[Notification]],
    look: Callable[[], None],
) -> Optional[Notification]:
    """Has a thread wait. `look` ends the future without a notification."""
    given_up = threading.Event()

    def deliver(notification: Notification) -> None:
        if future.done():
            interrupts._kept.append(notification)  # for the next wait
        else:
            future.set_result(notification)

    def run() -> None:
        while not given_up.is_set():
            try:
                notification = interrupts._wait(nanoseconds(_LOOK_AGAIN / 4), ANY_VECTOR, 1)
            except KpTimeout:
                continue
            except KpError:
                break  # the next look finds the same
            try:
                loop.call_soon_threadsafe(deliver, notification)
            except RuntimeError:
                interrupts._kept.append(notification)  # the loop is closed
            return
        look()

    threading.Thread(target=run, name="kp-wait", daemon=True).start()
    try:
        return await future
    finally:
        given_up.set()


class Handler:
    """A thread that waits for notifications, and hands them to a function. Made by `on_interrupt` of a device.

    The function gets all notifications that have come together: `got` says how many. What it raises ends the thread, and is raised where the
    handler ends: by `stop`, `join`, or the end of `with`. If nobody asks, it is printed, as that of any thread.
    """

    def __init__(self, interrupts: Interrupts, function: Callable[[Notification], object]) -> None:
        self._interrupts = interrupts
        self._run = _Run()
        # The thread knows neither this object nor the device, so both go when nobody else has them.
        arguments = (self._run, interrupts._node, weakref.ref(interrupts), function)
        self._thread = threading.Thread(target=_handle, args=arguments, name="kp-interrupt", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            interrupts._off()
            raise
        self._drop = weakref.finalize(self, _drop, interrupts, self._run)

    @property
    def interrupts(self) -> Interrupts:
        """The interrupt, for its counters."""
        return self._interrupts

    @property
    def is_alive(self) -> bool:
        """Whether the thread still waits, or the function still runs."""
        return self._thread.is_alive()

    def stop(self) -> Counters:
        """Disables the interrupt, waits until the function has returned, and reads the final counters.

        Raises what the function has raised; KpError: what had ended the thread before, DEVICE_GONE for instance.
        """
        return self._stop(is_asked=False)

    def _stop(self, is_asked: bool) -> Counters:
        self._run.is_stopped = True
        counters, failed = None, None
        try:
            # The thread ends only when the interrupt is off.
            counters = self._interrupts._until_off(is_asked)
        except KpError as refused:
            failed = refused
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._run.raise_error()
            ended = self._run.ended
            if ended is not None and ended.status not in _OVER:
                raise ended
        if counters is None:
            assert failed is not None
            raise failed
        return counters

    def join(self, timeout: Optional[float] = None) -> KpError:
        """Waits until the thread ends by itself, and says why: INT_DISABLED, CLOSED, DEVICE_GONE, or another answer of a wait.

        Raises what the function has raised; KpTimeout if the thread has not ended.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise error(Status.TIMEOUT, 0, "on_interrupt")
        self._run.raise_error()
        return self._run.ended or error(Status.INT_DISABLED, 0, "INT_WAIT")

    def __enter__(self) -> Handler:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], raised: Optional[BaseException], trace: Any) -> None:
        try:
            self._stop(is_asked=self._run.is_over)
        except BaseException as failed:
            if failed is self._run.error:
                if raised is None:
                    raise
                # What the block itself raises goes on; this one is printed.
                self._run.is_told = False
                self._drop()
            elif not isinstance(failed, KpError) or raised is None and failed.status not in _OVER:
                raise


class _Run:
    """What has become of a handler's thread."""

    def __init__(self) -> None:
        self.is_stopped = False
        #: Whether the thread waits no more.
        self.is_over = False
        self.ended: Optional[KpError] = None
        self.error: Optional[BaseException] = None
        self.is_told = False

    def raise_error(self) -> None:
        if self.error is not None:
            self.is_told = True
            raise self.error


def _handle(
    run: _Run, node: Node, interrupts: weakref.ref[Interrupts], function: Callable[[Notification], object]
) -> None:
    """What the thread does."""
    while not run.is_stopped:
        try:
            notification = node.int_wait(NO_TIMEOUT, ANY_VECTOR, U32_MAX)
        except KpError as ended:
            run.ended, run.is_over = ended, True
            return
        try:
            function(notification)
        except BaseException as raised:
            run.error, run.is_over = raised, True
            enabled = interrupts()
            if enabled is not None:
                enabled._off()
            return


def _drop(interrupts: Interrupts, run: _Run) -> None:
    """Nobody has the handler any more, or the program ends. Does not wait for the function: it may be waiting for this thread."""
    interrupts._is_asked = run.is_over
    run.is_stopped = True
    interrupts._off()
    if run.error is not None and not run.is_told:
        run.is_told = True
        raised = run.error
        threading.excepthook(threading.ExceptHookArgs((type(raised), raised, raised.__traceback__, None)))


def nanoseconds(timeout: Optional[float]) -> int:
    """A timeout as the driver takes it."""
    if timeout is None:
        return NO_TIMEOUT
    if not timeout >= 0:
        raise ValueError(f"a timeout is from 0, not {timeout}")
    return NO_TIMEOUT if timeout >= 1e10 else min(int(timeout * 1e9), NO_TIMEOUT)

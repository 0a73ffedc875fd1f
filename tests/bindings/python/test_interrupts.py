"""A binding's interrupts: waits, handler threads, asyncio, and how they end. The packages `echo` and `edu` are on the path."""

import asyncio
import gc
import os
import select
import signal
import subprocess
import sys
import threading
import unittest
import warnings
import weakref

from edu import Edu, Kind, KpError, KpTimeout, Status
from fake import INT_DISABLE, Fake

EDU = Edu._kp_interface.chains
#: More than anything here takes.
PATIENCE = 20


class OfFake(unittest.TestCase):
    def setUp(self):
        self.fake = self.enter(Fake(EDU))
        self.edu = self.enter(Edu.open())

    def enter(self, manager):
        self.addCleanup(manager.__exit__, None, None, None)
        return manager.__enter__()

    def statused(self, status, call):
        with self.assertRaises(KpError) as raised:
            call()
        self.assertEqual(raised.exception.status, status)


class Waits(OfFake):
    def test_a_wait_takes_a_notification(self):
        with self.edu.interrupts() as irq:
            self.assertEqual((irq.kind, irq.count, irq.generation), (Kind.MSI, 1, 1))
            self.fake.interrupt(times=3)
            self.assertEqual(irq.wait(1.0), (0, 1, 2, 1))
            self.assertEqual(irq.wait(1.0, most=5), (0, 2, 0, 1))
            with self.assertRaises(KpTimeout):
                irq.wait(0)
            counters = irq.counters()
            self.assertEqual((counters.notified, counters.delivered, counters.available, counters.lost), (3, 3, 0, 0))
        self.assertEqual(self.fake.numbers()[-1], INT_DISABLE)

    def test_a_wait_without_end_ends_with_the_notification(self):
        with self.edu.interrupts(vectors=2) as irq:
            taken = []
            thread = threading.Thread(target=lambda: taken.append(irq.wait(vector=1)))
            thread.start()
            self.fake.until(lambda fake: fake.waits)
            self.fake.interrupt(vector=0)
            self.fake.interrupt(vector=1)
            thread.join(PATIENCE)
            self.assertEqual([n.vector for n in taken], [1])

    def test_what_cannot_be_is_refused_and_not_sent(self):
        before = self.fake.numbers()
        for kinds in (0, 8, -1):
            with self.assertRaises(ValueError):
                self.edu.interrupts(kinds=kinds)
        for vectors in (0, -1, 2049, (2, 1), (0, 1), (1, 2049)):
            with self.assertRaises(ValueError):
                self.edu.interrupts(vectors=vectors)
        with self.assertRaises(TypeError):
            self.edu.interrupts(data="text")
        with self.assertRaises(TypeError):
            self.edu.on_interrupt(None)
        self.assertEqual(self.fake.numbers(), before)
        with self.edu.interrupts() as irq:
            before = self.fake.numbers()
            for timeout in (-1, float("nan")):
                with self.assertRaises(ValueError):
                    irq.wait(timeout)
            with self.assertRaises(ValueError):
                irq.wait(0, most=0)
            with self.assertRaises(ValueError):
                irq.wait(0, vector=-1)
            self.assertEqual(self.fake.numbers(), before)

    def test_enabling_carries_kinds_vectors_and_data(self):
        with self.edu.interrupts(Kind.MSI | Kind.LINE, (2, 4), b"data") as irq:
            handle = next(iter(self.fake.handles.values()))
            self.assertEqual(handle.enabled_by, (3, 2, 4, b"data"))
            self.assertEqual(irq.count, 4)
            self.statused(Status.ALREADY_ENABLED, self.edu.interrupts)
            self.statused(Status.BAD_VECTOR, lambda: irq.wait(0, vector=9))

    def test_a_kind_that_is_none_is_protocol_and_disabled(self):
        self.fake.kind = 3
        self.statused(Status.PROTOCOL, self.edu.interrupts)
        self.assertEqual(self.fake.numbers()[-1], INT_DISABLE)

    def test_a_wait_ends_when_the_interrupt_is_disabled_the_device_closed_or_gone(self):
        for end, status in (
            (lambda irq: irq.disable(), Status.INT_DISABLED),
            (lambda irq: self.fake.remove(), Status.DEVICE_GONE),
            (lambda irq: self.edu.close(), Status.CLOSED),
        ):
            self.fake.is_gone = False
            irq = self.edu.interrupts()
            ended = []

            def wait():
                try:
                    irq.wait()
                except KpError as error:
                    ended.append(error.status)

            thread = threading.Thread(target=wait)
            thread.start()
            self.fake.until(lambda fake: fake.waits)
            end(irq)
            thread.join(PATIENCE)
            self.assertEqual(ended, [status])
            self.fake.is_gone = False
            irq._off()

    def test_an_interrupt_that_was_disabled_takes_nothing_of_a_later_one(self):
        first = self.edu.interrupts()
        first.disable()
        with self.edu.interrupts() as second:
            self.fake.interrupt()
            self.statused(Status.INT_DISABLED, lambda: first.wait(0))
            self.statused(Status.NOT_ENABLED, first.disable)
            self.assertEqual(second.wait(0).got, 1)

    def test_an_interrupt_that_nobody_has_is_disabled(self):
        irq = self.edu.interrupts()
        del irq
        gc.collect()
        self.assertEqual(self.fake.numbers()[-1], INT_DISABLE)

    def test_an_interrupt_that_is_dropped_is_disabled_when_the_calls_of_others_have_ended(self):
        with self.edu.interrupts():
            self.fake.full = 3
        self.assertEqual(self.fake.numbers().count(INT_DISABLE), 4)
        with self.edu.interrupts() as irq:
            self.fake.full = 1
            self.statused(Status.TOO_MANY_CALLS, irq.disable)
            irq.disable()

    def test_an_interrupt_that_is_dropped_leaves_a_later_one_alone(self):
        for drop in (lambda irq: irq.__exit__(None, None, None), lambda irq: irq.__del__()):
            old = self.edu.interrupts()
            self.fake.reset()
            with self.edu.interrupts() as new:
                drop(old)
                self.fake.interrupt()
                self.assertEqual(new.wait(0).generation, new.generation)
                self.statused(Status.INT_DISABLED, lambda: old.wait(0))

    def test_an_interrupt_keeps_its_device(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            irq = Edu.open().interrupts()
            gc.collect()
            self.fake.interrupt()
            self.assertEqual(irq.wait(0).got, 1)
            del irq
            gc.collect()

    def test_ctrl_c_ends_a_wait_and_the_session_goes_on(self):
        with self.edu.interrupts() as irq:
            main = threading.main_thread()
            # A shell has its background jobs ignore Ctrl-C.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            self.addCleanup(signal.signal, signal.SIGINT, before)

            def press():
                self.fake.until(lambda fake: fake.waits)
                # Python looks for signals before it goes into the kernel, and once it has come back. Between the two one is seen late.
                receives = "45 "  # of x86-64
                with open(f"/proc/self/task/{main.native_id}/syscall", encoding="ascii") as syscall:
                    while not syscall.read().startswith(receives):
                        syscall.seek(0)
                signal.pthread_kill(main.ident, signal.SIGINT)

            threading.Thread(target=press).start()
            with self.assertRaises(KeyboardInterrupt):
                irq.wait(PATIENCE)
            self.fake.until(lambda fake: not fake.waits)
            self.fake.interrupt()
            self.assertEqual(irq.wait(1).got, 1)

    def test_the_descriptor_is_readable_when_there_is_something_and_when_it_is_over(self):
        with self.edu.interrupts() as irq:
            def readable(timeout):
                return bool(select.select([irq], [], [], timeout)[0])

            self.assertFalse(readable(0))
            self.fake.interrupt(times=2)
            self.assertTrue(readable(PATIENCE))
            irq.wait(0)
            self.assertTrue(readable(PATIENCE), "one is left")
            self.edu.query()
            self.assertTrue(readable(PATIENCE), "another request takes nothing")
            irq.wait(0)
            self.assertFalse(readable(0))
            self.fake.remove()
            self.assertTrue(readable(PATIENCE))


class Handlers(OfFake):
    def test_a_function_gets_what_comes_until_the_end_of_with(self):
        got, enough = [], threading.Event()

        def take(notification):
            got.append(notification.got)
            if sum(got) == 5:
                enough.set()

        with self.edu.on_interrupt(take) as handler:
            for _ in range(5):
                self.fake.interrupt()
            self.assertTrue(enough.wait(PATIENCE))
            self.assertTrue(handler.is_alive)
        self.assertFalse(handler.is_alive)
        self.fake.until(lambda fake: not fake.waits)

    def test_stop_waits_for_the_function_and_reads_the_counters(self):
        inside, done = threading.Event(), []

        def slow(notification):
            inside.set()
            self.fake.until(lambda fake: INT_DISABLE in [number for number, _ in fake.requests])
            done.append(1)

        handler = self.edu.on_interrupt(slow)
        self.fake.interrupt()
        inside.wait(PATIENCE)
        counters = handler.stop()
        self.assertEqual((done, counters.notified, counters.delivered), ([1], 1, 1))
        self.statused(Status.NOT_ENABLED, handler.stop)

    def test_a_handler_ends_when_the_calls_of_others_have(self):
        for end in ("stop", "with", "drop"):
            handler = self.edu.on_interrupt(lambda notification: None)
            thread = handler._thread
            self.fake.full = 3
            if end == "stop":
                handler.stop()
            elif end == "with":
                handler.__exit__(None, None, None)
            del handler
            gc.collect()
            thread.join(PATIENCE)
            self.assertFalse(thread.is_alive(), end)

    def test_a_handler_that_has_ended_leaves_a_later_interrupt_alone(self):
        for end in ("with", "drop"):
            handler = self.edu.on_interrupt(lambda notification: None)
            self.fake.until(lambda fake: fake.waits)
            self.fake.reset()
            self.assertEqual(handler.join(PATIENCE).status, Status.INT_DISABLED)
            with self.edu.interrupts() as new:
                if end == "with":
                    handler.__exit__(None, None, None)
                del handler
                gc.collect()
                self.fake.interrupt()
                self.assertEqual(new.wait(0).generation, new.generation)

    def test_what_the_function_raises_is_raised_where_the_handler_ends(self):
        def fail(notification):
            raise RuntimeError("of the function")

        with self.assertRaisesRegex(RuntimeError, "of the function"):
            with self.edu.on_interrupt(fail) as handler:
                self.fake.interrupt()
                handler._thread.join(PATIENCE)
        handler = self.edu.on_interrupt(fail)
        self.fake.interrupt()
        with self.assertRaisesRegex(RuntimeError, "of the function"):
            handler.join()
        handler = self.edu.on_interrupt(fail)
        self.fake.interrupt()
        handler._thread.join(PATIENCE)
        with self.assertRaisesRegex(RuntimeError, "of the function"):
            handler.stop()

        def refused(notification):
            self.fake.answer = lambda call: (36, 0)
            self.edu.invert(1)

        with self.assertRaisesRegex(KpError, "edu.invert: Closed"):
            with self.edu.on_interrupt(refused) as handler:
                self.fake.interrupt()
                handler._thread.join(PATIENCE)

    def test_what_the_function_raises_and_nobody_asks_for_is_printed(self):
        def fail(notification):
            raise RuntimeError("of the function")

        def printed(act):
            seen = []
            hook, threading.excepthook = threading.excepthook, lambda args: seen.append(str(args.exc_value))
            try:
                act()
                gc.collect()
            finally:
                threading.excepthook = hook
            return seen

        def drop():
            handler = self.edu.on_interrupt(fail)
            self.fake.interrupt()
            handler._thread.join(PATIENCE)
            del handler

        self.assertEqual(printed(drop), ["of the function"])

        def both():
            with self.assertRaisesRegex(ValueError, "of the block"):
                with self.edu.on_interrupt(fail) as handler:
                    self.fake.interrupt()
                    handler._thread.join(PATIENCE)
                    raise ValueError("of the block")

        self.assertEqual(printed(both), ["of the function"])

        def asked():
            handler = self.edu.on_interrupt(fail)
            self.fake.interrupt()
            self.assertRaises(RuntimeError, handler.join)

        self.assertEqual(printed(asked), [])

    def test_a_function_may_stop_its_own_handler(self):
        stopped, handlers = threading.Event(), []

        def take(notification):
            handlers[0].stop()
            stopped.set()

        handlers.append(self.edu.on_interrupt(take))
        self.fake.interrupt()
        self.assertTrue(stopped.wait(PATIENCE))
        handlers[0]._thread.join(PATIENCE)
        self.assertFalse(handlers[0].is_alive)

    def test_a_device_that_goes_is_said_at_the_end_of_with_and_by_join(self):
        with self.assertRaises(KpError) as raised:
            with self.edu.on_interrupt(print) as handler:
                self.fake.remove()
                self.assertEqual(handler.join(PATIENCE).status, Status.DEVICE_GONE)
        self.assertEqual(raised.exception.status, Status.DEVICE_GONE)

    def test_join_has_a_time(self):
        with self.edu.on_interrupt(print) as handler:
            with self.assertRaises(KpTimeout):
                handler.join(0.01)
            self.edu.close()
            self.assertEqual(handler.join(PATIENCE).status, Status.CLOSED)

    def test_a_handler_that_nobody_has_ends(self):
        handler = self.edu.on_interrupt(lambda notification: None)
        # Who has the interrupt alone has no handler.
        thread, irq = handler._thread, handler.interrupts
        self.fake.until(lambda fake: fake.waits)
        del handler
        gc.collect()
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())
        self.statused(Status.INT_DISABLED, lambda: irq.wait(0))

    def test_a_garbage_collection_with_a_live_handler_waits_for_nobody(self):
        """The function waits for this thread, which collects."""
        inside, go_on = threading.Event(), threading.Event()

        def take(notification):
            inside.set()
            go_on.wait(PATIENCE)

        class Cycle:
            pass

        cycle = Cycle()
        cycle.itself, cycle.handler = cycle, self.edu.on_interrupt(take)
        thread, gone = cycle.handler._thread, weakref.ref(cycle)
        self.fake.interrupt()
        inside.wait(PATIENCE)
        del cycle
        gc.collect()
        self.assertIsNone(gone())
        self.assertTrue(thread.is_alive(), "the function still waits")
        go_on.set()
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())

    def test_a_thousand_handlers_one_after_the_other(self):
        got = []
        for _ in range(1000):
            with self.edu.on_interrupt(lambda notification: got.append(notification.generation)):
                self.fake.interrupt()
        self.assertEqual([thread for thread in threading.enumerate() if thread.name.startswith("kp-")], [])
        self.assertEqual(got, sorted(got), "none has taken another's")

    def test_a_device_that_goes_while_handlers_come_and_go(self):
        seen = []
        gone = threading.Timer(0.2, self.fake.remove)
        gone.start()
        for _ in range(100_000):
            try:
                with self.edu.on_interrupt(lambda notification: None):
                    self.fake.interrupt()
            except KpError as error:
                seen.append(error.status)
                break
        gone.join()
        self.assertEqual(seen, [Status.DEVICE_GONE])


class Asyncio(OfFake):
    def run_it(self, main):
        async def limited():
            return await asyncio.wait_for(main(), PATIENCE)

        return asyncio.run(limited())

    def loops(self):
        """As it is on Linux; and as where a loop has no readers."""
        yield
        real = asyncio.SelectorEventLoop.add_reader

        def none(*_):
            raise NotImplementedError

        asyncio.SelectorEventLoop.add_reader = none
        # What the loop itself needs to be woken.
        internal = asyncio.SelectorEventLoop._add_reader
        try:
            assert internal is not none
            yield
        finally:
            asyncio.SelectorEventLoop.add_reader = real

    def test_async_for_takes_each_and_ends_with_the_interrupt(self):
        for _ in self.loops():
            async def main():
                taken = []
                with self.edu.interrupts() as irq:
                    self.fake.interrupt(times=2)
                    async for notification in irq:
                        taken.append(notification.got)
                        if len(taken) == 2:
                            asyncio.get_running_loop().call_later(0.01, self.fake.interrupt)
                        if len(taken) == 3:
                            asyncio.get_running_loop().call_later(0.01, irq.disable)
                return taken

            self.assertEqual(self.run_it(main), [1, 1, 1])

    def test_interrupts_async_enables_and_disables(self):
        for _ in self.loops():
            async def main():
                notifications = self.edu.interrupts_async()
                self.fake.interrupt()
                async for notification in notifications:
                    await notifications.aclose()
                return notification.got

            self.assertEqual(self.run_it(main), 1)
            self.assertEqual(self.fake.numbers()[-1], INT_DISABLE)

    def test_a_wait_that_is_given_up_loses_nothing(self):
        for _ in self.loops():
            async def main():
                with self.edu.interrupts() as irq:
                    task = asyncio.ensure_future(irq.__aiter__().__anext__())
                    await asyncio.sleep(0.02)
                    task.cancel()
                    try:
                        await task
                    except asyncio.CancelledError:
                        pass
                    self.fake.interrupt()
                    # A thread that was waiting may have it, and gives it back.
                    return await asyncio.get_running_loop().run_in_executor(None, take_of_any, irq)

            self.assertEqual(self.run_it(main), 1)

    def test_two_tasks_each_get_their_own(self):
        for _ in self.loops():
            async def main():
                with self.edu.interrupts() as irq:
                    tasks = [asyncio.ensure_future(irq.__aiter__().__anext__()) for _ in range(2)]
                    await asyncio.sleep(0.02)
                    self.fake.interrupt()
                    self.fake.interrupt()
                    return sum([(await task).got for task in tasks])

            self.assertEqual(self.run_it(main), 2)

    def test_a_device_that_goes_is_raised_and_one_that_is_closed_ends_it(self):
        for _ in self.loops():
            async def main():
                with Edu.open() as device:
                    notifications = device.interrupts_async()
                    asyncio.get_running_loop().call_later(0.02, device.close)
                    return [notification async for notification in notifications]

            self.assertEqual(self.run_it(main), [])
        for _ in self.loops():
            self.fake.is_gone = False

            async def removed():
                with Edu.open() as device:
                    notifications = device.interrupts_async()
                    asyncio.get_running_loop().call_later(0.02, self.fake.remove)
                    async for _ in notifications:
                        pass

            self.statused(Status.DEVICE_GONE, lambda: self.run_it(removed))


def take_of_any(irq):
    """Waits as long as it takes, by turns: what a thread has given back is no driver's to tell of."""
    while True:
        try:
            return irq.wait(0.05).got
        except KpTimeout:
            pass


class Exits(unittest.TestCase):
    """A program that ends, whatever its threads do."""

    def run_program(self, body, act=lambda fake: None):
        program = f"import asyncio, sys, threading\nfrom edu import Edu\n{body}"
        env = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
        with Fake(EDU) as fake:
            env["KP_NODE"] = fake.path
            command = [sys.executable, "-c", program]
            run = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            act(fake)
            said = run.communicate(timeout=60)
            return run.returncode, *said

    def test_a_program_ends_with_a_live_handler(self):
        def act(fake):
            fake.until(lambda fake: fake.waits)
            fake.interrupt()

        body = "device = Edu.open()\ncame = threading.Event()\nhandler = device.on_interrupt(lambda n: came.set())\n"
        self.assertEqual(self.run_program(body + "came.wait()\nprint('end')", act), (0, "end\n", ""))

    def test_a_program_ends_while_the_function_never_returns(self):
        def act(fake):
            fake.until(lambda fake: fake.waits)
            fake.interrupt()

        body = (
            "device = Edu.open()\ninside = threading.Event()\n"
            "def take(n):\n    inside.set()\n    threading.Event().wait()\n"
            "handler = device.on_interrupt(take)\ninside.wait()\nprint('end')"
        )
        self.assertEqual(self.run_program(body, act), (0, "end\n", ""))

    def test_a_program_that_ends_prints_what_the_function_has_raised(self):
        def act(fake):
            fake.until(lambda fake: fake.waits)
            fake.interrupt()

        body = (
            "device = Edu.open()\ndef fail(n):\n    raise RuntimeError('of the function')\n"
            "handler = device.on_interrupt(fail)\nhandler._thread.join()\nprint('end')"
        )
        code, out, err = self.run_program(body, act)
        self.assertEqual((code, out), (0, "end\n"))
        self.assertIn("RuntimeError: of the function", err)

    def test_a_program_ends_in_the_middle_of_an_async_wait(self):
        body = (
            "async def main():\n    device = Edu.open()\n    irq = device.interrupts()\n"
            "    task = asyncio.ensure_future(irq.__aiter__().__anext__())\n    await asyncio.sleep(0.05)\n    print('end')\n"
            "    device.close()\n    task.cancel()\nasyncio.run(main())"
        )
        self.assertEqual(self.run_program(body), (0, "end\n", ""))


if __name__ == "__main__":
    unittest.main()

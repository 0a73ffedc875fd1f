"""What a binding for Python sends, and what it makes of the answers. The packages `echo` and `edu` are on the path."""

import copy
import os
import pickle
import struct
import sys
import threading
import unittest

import echo
import edu
from echo import Echo, KpError, KpTimeout, Said, Status, Style, Trim
from fake import ABI_MISMATCH, CALL, CLOSE, OPEN, QUERY, Fake

ECHO = Echo._kp_interface.chains
EDU = edu.Edu._kp_interface.chains


def echoes(call):
    """The echo plugin, as far as these tests need it."""
    if call.message == 1:
        return struct.pack("<I", len(call.data))
    if call.message == 3:
        return call.data[: call.room]
    if call.message == 4:
        return struct.pack("<QQ", 2, 2**40)
    return b""


class Calls(unittest.TestCase):
    def setUp(self):
        self.fake = self.enterContext_(Fake(ECHO, echoes))
        self.echo = self.enterContext_(Echo.open("echo"))

    def enterContext_(self, manager):
        self.addCleanup(manager.__exit__, None, None, None)
        return manager.__enter__()

    def sent(self):
        return self.fake.calls()[-1]

    def refused(self, error, text, call):
        """It is refused with these words, and nothing is sent."""
        before = self.fake.numbers()
        with self.assertRaises(error) as raised:
            call()
        self.assertIn(text, str(raised.exception))
        self.assertEqual([number for number in self.fake.numbers()[len(before) :] if number != QUERY], [])

    def test_a_message_goes_as_its_bytes_and_its_reply_comes_as_a_value(self):
        self.assertEqual(self.echo.say(b"hello"), 5)
        sent = self.sent()
        self.assertEqual((sent.message, sent.args, sent.data, sent.room), (1, b"", b"hello", 4))
        self.assertEqual(self.echo.repeat(Style.LOUD, Trim.START | Trim.END, bytearray(b"hi"), room=4), b"hi")
        sent = self.sent()
        self.assertEqual((sent.message, sent.args, sent.data, sent.room), (3, bytes([1, 0, 0, 0, 3, 0, 0, 0]), b"hi", 4))
        self.assertEqual(self.echo.said(), Said(texts=2, bytes=2**40))
        self.assertIsNone(self.echo.nap(2**32 - 1))
        self.assertEqual(self.sent().args, b"\xff" * 4)

    def test_what_is_no_value_of_its_type_is_refused_and_not_sent(self):
        say, repeat, nap = self.echo.say, self.echo.repeat, self.echo.nap
        self.refused(ValueError, "nap: ms is from 0 to 4294967295, not -1", lambda: nap(-1))
        self.refused(ValueError, "nap: ms is from 0 to 4294967295, not 4294967296", lambda: nap(2**32))
        self.refused(TypeError, "nap: ms is an integer, not float", lambda: nap(1.0))
        self.refused(TypeError, "nap: ms is an integer, not str", lambda: nap("1"))
        self.refused(TypeError, "say: text is bytes, not str", lambda: say("hello"))
        self.refused(TypeError, "say: text is bytes, not int", lambda: say(5))
        self.refused(ValueError, "repeat: style: 3 is no Style", lambda: repeat(3, Trim.END, b""))
        self.refused(TypeError, "repeat: style is a Style, not a Trim", lambda: repeat(Trim.END, Trim.END, b""))
        self.refused(ValueError, "repeat: trim: 0x4 has a bit that Trim does not have", lambda: repeat(Style.LOUD, 4, b""))
        self.refused(ValueError, "repeat: trim: -0x1 has a bit", lambda: repeat(Style.LOUD, -1, b""))
        self.refused(ValueError, "room is from 0, not -1", lambda: self.echo.hear(room=-1))
        self.refused(ValueError, "repeat: room for 65537 bytes", lambda: repeat(Style.LOUD, Trim(0), b"", room=65537))
        self.refused(ValueError, "say: 65537 bytes of data, and the driver takes 65536", lambda: say(bytes(65537)))

    def test_a_number_that_is_a_value_is_one(self):
        self.assertEqual(self.echo.repeat(2, 1, b"x", room=1), b"x")
        self.assertEqual(self.sent().args, bytes([2, 0, 0, 0, 1, 0, 0, 0]))
        self.echo.repeat(Style.PLAIN, ~Trim.END, b"", room=0)
        self.assertEqual(self.sent().args, bytes([0, 0, 0, 0, 1, 0, 0, 0]), "all flags but that one")

    def test_a_list_has_room_for_as_much_as_the_driver_sends(self):
        self.echo.hear()
        self.assertEqual(self.sent().room, 65536)
        self.echo.hear()
        self.assertEqual(self.fake.numbers().count(QUERY), 1, "the driver's limit is asked for once")
        self.fake.max_data = 100
        with Echo.open() as other:
            other.hear()
            self.assertEqual(self.sent().room, 100)

    def test_a_reply_that_is_none_of_the_message_is_protocol(self):
        for reply in (b"", bytes(3), bytes(5)):
            self.fake.answer = lambda call: (0, len(reply), reply)[2]
            with self.assertRaises(KpError) as raised:
                self.echo.say(b"")
            self.assertEqual(raised.exception.status, Status.PROTOCOL, reply)
        for detail in (5, 2**32 - 1):
            self.fake.answer = lambda call: (0, detail)
            with self.assertRaises(KpError) as raised:
                self.echo.say(b"")
            self.assertEqual(raised.exception.status, Status.PROTOCOL, "more than there is room for")
        self.fake.answer = lambda call: (0, 4)
        with self.assertRaises(KpError) as raised:
            self.echo.say(b"")
        self.assertEqual(raised.exception.status, Status.PROTOCOL, "it says that there are bytes, and there are none")

    def test_an_error_says_where_what_and_why_in_a_line(self):
        self.fake.answer = lambda call: (23, 7)
        with self.assertRaises(KpError) as raised:
            self.echo.hear(room=1)
        error = raised.exception
        self.assertEqual((error.status, error.name, error.detail), (Status.OUTPUT_LENGTH, "OutputLength", 7))
        self.assertEqual(str(error), "echo.hear: OutputLength (7): The reply does not fit; detail = the length needed.")
        self.fake.answer = lambda call: (64, 1)
        with self.assertRaises(KpError) as raised:
            self.echo.nap(60001)
        self.assertEqual((raised.exception.status, raised.exception.detail), (Status.PLUGIN_ERROR, 1))
        self.assertEqual(str(raised.exception), "echo.nap: PluginError (1): The plugin's own error; detail = its number.")
        self.fake.answer = lambda call: (999, 0)
        with self.assertRaises(KpError) as raised:
            self.echo.nap(0)
        self.assertEqual((raised.exception.status, raised.exception.name), (999, "Status(0x3e7)"))
        self.fake.answer = lambda call: (6, 0)  # of the transport: there is no head
        with self.assertRaises(KpError) as raised:
            self.echo.nap(0)
        self.assertEqual(raised.exception.status, Status.NO_MEMORY)
        self.assertEqual(str(raised.exception), "echo.nap: NoMemory: The kernel has no memory to spare.")

    def test_errors_are_copied_and_timeouts_are_pythons_too(self):
        from echo._kp.errors import error

        timeout = error(Status.TIMEOUT, 0, "INT_WAIT")
        self.assertIsInstance(timeout, KpTimeout)
        self.assertIsInstance(timeout, TimeoutError)
        for made in (timeout, error(Status.PLUGIN_ERROR, 7, "here")):
            for other in (copy.copy(made), pickle.loads(pickle.dumps(made))):
                self.assertEqual((type(other), str(other), other.status, other.detail), (type(made), str(made), made.status, made.detail))

    def test_threads_call_at_once(self):
        barrier = threading.Barrier(8, timeout=20)

        def meet(call):
            barrier.wait()  # which each can only pass while the seven others are in the driver too
            return struct.pack("<I", len(call.data))

        self.fake.answer = meet
        answers = [None] * 8
        threads = [
            threading.Thread(target=lambda n=n: answers.__setitem__(n, self.echo.say(bytes(n)))) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, list(range(8)))

    def test_a_closed_device_answers_closed_and_closing_twice_is_once(self):
        self.echo.close()
        self.echo.close()
        with self.assertRaises(KpError) as raised:
            self.echo.say(b"")
        self.assertEqual(raised.exception.status, Status.CLOSED)
        with self.assertRaises(KpError) as raised:
            self.echo.query()
        self.assertEqual(raised.exception.status, Status.CLOSED)
        self.assertEqual(self.fake.numbers().count(CLOSE), 1)

    def test_close_lets_a_call_of_another_thread_end(self):
        inside, go_on = threading.Event(), threading.Event()

        def slow(call):
            inside.set()
            go_on.wait(20)
            return (36, 0)

        self.fake.answer = slow
        statuses = []

        def nap():
            try:
                self.echo.nap(1000)
            except KpError as error:
                statuses.append(error.status)

        thread = threading.Thread(target=nap)
        thread.start()
        inside.wait(20)
        self.echo.close()
        (handle,) = self.fake.handles.values()
        self.assertFalse(handle.is_dropped, "the call is still under way")
        go_on.set()
        thread.join()
        self.assertEqual(statuses, [Status.CLOSED])
        self.fake.until(lambda fake: handle.is_dropped)

    def test_a_simulator_that_goes_is_a_device_that_is_gone(self):
        self.echo.say(b"")
        self.fake.stop()
        with self.assertRaises(KpError) as raised:
            self.echo.say(b"")
        self.assertEqual(raised.exception.status, Status.DEVICE_GONE)

    def test_a_forked_child_has_no_session_and_leaves_its_parents_alone(self):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                self.echo.say(b"")
                said = b"it was answered"
            except KpError as error:
                said = error.name.encode()
            self.echo.close()
            os.write(write, said)
            os._exit(0)
        os.waitpid(child, 0)
        self.assertEqual(os.read(read, 100), b"WrongContext")
        os.close(read)
        os.close(write)
        self.assertEqual(self.echo.say(b"abc"), 3)
        self.assertNotIn(CLOSE, self.fake.numbers())

    def test_a_device_that_nobody_has_is_closed_with_a_warning(self):
        with self.assertWarns(ResourceWarning):
            Echo.open()
        self.assertEqual(self.fake.numbers()[-1], CLOSE)

    def test_query_says_who_it_is(self):
        query = self.echo.query()
        self.assertEqual((query.name, query.message_count, query.max_data, query.chain), ("fake", 5, 65536, ECHO[5]))


class Opening(unittest.TestCase):
    def test_open_carries_its_data_and_the_fingerprint(self):
        with Fake(ECHO) as fake, Echo.open("echo.3", b"quiet") as device:
            number, data = fake.requests[0]
            self.assertEqual((number, data[72:]), (OPEN, b"quiet"))
            self.assertEqual(struct.unpack_from("<IIQ", data, 32), (5, 1, ECHO[5]))
            self.assertEqual(device.session, 1)

    def test_an_older_driver_is_opened_and_lacks_what_came_later(self):
        with Fake(ECHO[:4], echoes) as fake, Echo.open() as device:
            self.assertEqual([number for number in fake.numbers()], [OPEN, OPEN])
            self.assertEqual([device.has(n) for n in (0, 1, 3, 4, 5, 6)], [False, True, True, False, False, False])
            self.assertEqual([device.has(name) for name in ("say", "repeat", "said")], [True, True, False])
            with self.assertRaises(ValueError):
                device.has("sing")
            with self.assertRaises(KpError) as raised:
                device.said()
            self.assertEqual(raised.exception.status, Status.UNKNOWN_MESSAGE)
            self.assertNotIn(CALL, fake.numbers())
            self.assertEqual(device.say(b"x"), 1)

    def test_a_newer_driver_is_opened(self):
        with Fake(ECHO + (1, 2)) as fake, Echo.open() as device:
            self.assertEqual(fake.numbers(), [OPEN])
            self.assertTrue(device.has(5) and not device.has(6))

    def test_what_differs_is_said(self):
        for chains, text in [
            (EDU, "the app is for the interface `echo`, and this plugin has another"),
            (ECHO[:3] + (1, 2, 3), "app and driver differ in message 3, `repeat`"),
            (ECHO[:1] + (1,), "app and driver differ in message 1, `say`"),
        ]:
            with Fake(chains), self.assertRaises(KpError) as raised:
                Echo.open()
            self.assertEqual(raised.exception.status, Status.INTERFACE_MISMATCH)
            self.assertIn(text, str(raised.exception))

    def test_another_major_abi_is_said_with_both_versions(self):
        with Fake(ECHO, abi=(2, 7)), self.assertRaises(KpError) as raised:
            Echo.open()
        self.assertEqual((raised.exception.status, raised.exception.detail), (ABI_MISMATCH, 0x20007))
        self.assertIn("the binding speaks ABI 1.0, the driver 2.7", str(raised.exception))

    def test_an_open_that_fails_leaves_no_connection(self):
        with Fake(EDU) as fake:
            for _ in range(3):
                with self.assertRaises(KpError):
                    Echo.open()
            fake.until(lambda fake: all(handle.is_closed for handle in fake.handles.values()))

    def test_a_socket_that_is_not_there_says_what_to_start(self):
        os.environ["KP_NODE"] = "/nonexistent/echo.sock"
        self.addCleanup(os.environ.pop, "KP_NODE")
        with self.assertRaises(FileNotFoundError) as raised:
            Echo.open()
        self.assertIn("start `cargo kp sim -p echo --listen /nonexistent/echo.sock`, or unset KP_NODE", str(raised.exception))

    def test_a_socket_of_something_else_is_said_to_be_that(self):
        with Fake(ECHO) as fake:
            fake.magic = b"HTTP"
            with self.assertRaisesRegex(OSError, "no socket of `cargo kp sim`"):
                Echo.open()

    def test_a_name_is_a_plugins_and_a_node_that_is_not_there_says_what_to_load(self):
        os.environ.pop("KP_NODE", None)
        for name in ("", ".", "../echo", "Echo", "echo.", "echo.01", "echo.x", "echo\n", "a" * 32):
            with self.assertRaises(ValueError):
                Echo.open(name)
        with self.assertRaises(FileNotFoundError) as raised:
            Echo.open("no-such.1")
        self.assertIn("is the module loaded? `kp load no-such`, or `insmod kp-no-such.ko`: '/dev/kp/no-such.1'", str(raised.exception))

    def test_a_name_without_a_number_is_the_lowest(self):
        from echo._kp.names import lowest

        there = ["edu.10", "edu.2", "echo", "education.0", "edu.x"]
        self.assertEqual([lowest(name, there) for name in ("edu", "edu.10", "echo", "other")], ["edu.2", "edu.10", "echo", "other"])

    def test_a_program_with_anothers_rights_does_not_listen_to_the_environment(self):
        from echo._kp import names

        with Fake(ECHO):
            self.assertTrue(names._socket())
            for name in ("geteuid", "getegid"):
                real = getattr(os, name)
                setattr(os, name, lambda: real() + 1)
                self.assertEqual(names._socket(), "")
                setattr(os, name, real)


class Structs(unittest.TestCase):
    def test_a_struct_is_its_bytes(self):
        said = Said(1, 2)
        self.assertEqual(said.pack(), struct.pack("<QQ", 1, 2))
        self.assertEqual((Said.unpack(said.pack()), Said.SIZE), (said, 16))
        version = edu.Version(100, b"kp edu".ljust(20, b"\0"))
        self.assertEqual(edu.Version.unpack(version.pack()), version)
        with self.assertRaisesRegex(ValueError, "Said has 16 bytes, not 15"):
            Said.unpack(bytes(15))
        with self.assertRaisesRegex(ValueError, "Version.name has 20 bytes, not 3"):
            edu.Version(1, b"edu").pack()
        with self.assertRaisesRegex(ValueError, "Said.bytes is from 0"):
            Said(1, -1).pack()
        with self.assertRaises(Exception):
            said.texts = 3

    def test_another_machines_python_refuses_in_a_sentence(self):
        import subprocess

        code = "import sys; sys.byteorder = 'big'; import echo"
        run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, text=True)
        self.assertIn("ImportError: kp's drivers run on little-endian machines, and this Python is for another", run.stderr)

    def test_two_interfaces_are_in_one_program(self):
        self.assertIsNot(echo.KpError, edu.KpError)
        with Fake(EDU, lambda call: struct.pack("<I", ~struct.unpack("<I", call.args)[0] & 0xFFFFFFFF)):
            with edu.Edu.open() as device:
                self.assertEqual(device.invert(0x0F0F0F0F), 0xF0F0F0F0)


if __name__ == "__main__":
    unittest.main()

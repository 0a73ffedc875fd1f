"""A plugin that is none: it speaks docs/socket.md, answers what a test says, and keeps what it was asked."""

import os
import socket
import struct
import tempfile
import threading
import time

QUERY, OPEN, CALL, CLOSE, INT_ENABLE, INT_WAIT, INT_COUNT, INT_DISABLE = range(8)
OK, UNKNOWN_REQUEST, INTERRUPTED = 0, 1, 5
BAD_FIELD, UNKNOWN_MESSAGE = 20, 21
ABI_MISMATCH, INTERFACE_MISMATCH, CLOSED, DEVICE_GONE, TOO_MANY_CALLS = 32, 33, 36, 37, 40
NOT_ENABLED, ALREADY_ENABLED, INT_DISABLED, TIMEOUT, BAD_VECTOR = 48, 49, 52, 53, 57
ANY_VECTOR, NO_TIMEOUT = 2**32 - 1, 2**64 - 1

SIZES = {QUERY: 176, OPEN: 72, CALL: 56, CLOSE: 16, INT_ENABLE: 56, INT_WAIT: 56, INT_COUNT: 96, INT_DISABLE: 88}


class Call:
    """A CALL, taken apart."""

    def __init__(self, data):
        self.message, args_len, in_len, self.room = struct.unpack_from("<4I", data, 16)
        assert data[32:56] == bytes(24), "addresses are 0"
        self.args = data[56 : 56 + args_len]
        at = 56 + (args_len + 7) // 8 * 8
        assert data[56 + args_len : at] == bytes(at - 56 - args_len), "padding is zero"
        self.data = data[at:]
        assert len(self.data) == in_len, "the data's length"


class Handle:
    def __init__(self):
        self.is_open = self.is_closed = self.is_dropped = False
        self.enabled = None
        self.polls = []


class Fake:
    """One device. `answer` is given each Call, and gives back the reply's bytes, or a status and a detail."""

    def __init__(self, chains, answer=lambda call: b"", abi=(1, 4), max_data=65536):
        self.chains, self.answer, self.abi, self.max_data = chains, answer, abi, max_data
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "fake.sock")
        self.requests, self.handles, self.connections = [], {}, []
        self.condition = threading.Condition()
        self.available, self.notified, self.delivered, self.lost = [0], 0, 0, 0
        self.generation, self.is_gone, self.kind = 0, False, 2
        self.opens, self.magic = 0, b"KPN1"
        self.waits = 0
        self.full = 0  # so many INT_DISABLEs find all calls in flight
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        self.before = os.environ.get("KP_NODE")
        os.environ["KP_NODE"] = self.path
        return self

    def __exit__(self, *_):
        if self.before is None:
            del os.environ["KP_NODE"]
        else:
            os.environ["KP_NODE"] = self.before
        self.stop()

    def stop(self):
        """As when the simulator ends: all connections are cut."""
        self.listener.close()
        with self.condition:
            connections, self.connections = self.connections, []
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.folder.cleanup()

    # What a test has happen.

    def interrupt(self, vector=0, times=1):
        with self.condition:
            self.notified += times
            if not any(handle.enabled for handle in self.handles.values()):
                self.lost += times
                return
            self.available[vector] += times
            self._tell(times)
            self.condition.notify_all()

    def reset(self):
        """The plugin resets the device, and does not keep its interrupt."""
        with self.condition:
            for handle in self.handles.values():
                handle.enabled = None
            self.condition.notify_all()

    def remove(self):
        with self.condition:
            self.is_gone = True
            self._hang_up(list(self.handles.values()))
            self.condition.notify_all()

    def calls(self):
        with self.condition:
            return [Call(data) for number, data in self.requests if number == CALL]

    def numbers(self):
        with self.condition:
            return [number for number, _ in self.requests]

    def until(self, condition):
        """Waits until something is so."""
        with self.condition:
            assert self.condition.wait_for(lambda: condition(self), 20), "it is never so"

    # The protocol.

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.condition:
                self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        made = None
        try:
            magic, kind, number = struct.unpack("<4sIQ", receive(connection, 16))
            assert magic == b"KPN1"
            with self.condition:
                if kind == 0:
                    self.opens += 1
                    number, made = self.opens, Handle()
                    self.handles[number] = made
                handle = self.handles.get(number)
                if handle is not None and kind == 2:
                    handle.polls.append(connection)
            if handle is None:
                connection.sendall(struct.pack("<4sIQ", b"KPN1", CLOSED, 0))
                return
            connection.sendall(struct.pack("<4sIQ", self.magic, OK, number))
            while kind != 2:
                code, in_len, out_len, zero = struct.unpack("<4I", receive(connection, 16))
                assert zero == 0
                data = receive(connection, in_len)
                status, out = self._request(handle, code, data, out_len, connection)
                connection.sendall(struct.pack("<4I", status, len(out), 0, 0) + out)
        except (OSError, EOFError):
            pass
        finally:
            with self.condition:
                if made is not None:
                    self._close(made)
                    made.is_dropped = True
                if made is not None or connection not in [poll for handle in self.handles.values() for poll in handle.polls]:
                    connection.close()
                self.condition.notify_all()

    def _request(self, handle, code, data, out_len, connection):
        number = (code >> 2 & 0xFFF) - 0x800
        with self.condition:
            self.requests.append((number, data))
            self.condition.notify_all()
        size, flags, status, detail = struct.unpack_from("<4I", data)
        assert (flags, status, detail) == (0, 0xFFFFFFFF, 0), "a head as abi.md has it"
        assert code == code_of(number), hex(code)
        if number == CALL:
            return self._call(handle, data, out_len)
        assert size == out_len, "as long as the struct"
        assert size >= {QUERY: 136}.get(number, SIZES[number])
        body = bytearray(data[:size])
        with self.condition:
            answers = [self._query, self._open, None, self._end, self._enable, self._wait, self._count, self._disable]
            status, detail = answers[number](handle, body, data[size:], connection)
            self.condition.notify_all()
        if 1 <= status <= 7:
            return status, b""
        struct.pack_into("<2I", body, 8, status, detail)
        return OK, bytes(body)

    def _call(self, handle, data, out_len):
        call = Call(data)
        assert out_len == 16 + call.room
        with self.condition:
            over = self._over(handle)
        if over:
            answer = (over, 0)
        elif call.room > self.max_data or len(call.data) > self.max_data:
            answer = (24, 0)
        else:
            answer = self.answer(call)
        status, detail, reply = (*answer, b"") if isinstance(answer, tuple) else (OK, len(answer), answer)
        if 1 <= status <= 7:
            return status, b""
        return OK, struct.pack("<4I", 56, 0, status, detail) + reply

    def _over(self, handle):
        if self.is_gone:
            return DEVICE_GONE
        return CLOSED if handle.is_closed else 0 if handle.is_open else 34

    def _query(self, handle, body, data, connection):
        (chain_at,) = struct.unpack_from("<I", body, 16)
        at = min(chain_at, len(self.chains) - 1)
        struct.pack_into("<5IQ2IQQ", body, 16, chain_at, 0, *self.abi, 0, 0, 0, 0, 0, 0)
        struct.pack_into("<IIQ2IQQ", body, 24, *self.abi, 0, len(self.chains) - 1, 1, self.chains[at], 2**64 - 1)
        struct.pack_into("<6I32s4I", body, 64, self.max_data, 4096, 64, 64, 64, 256, b"fake", len(self.handles), 0, 0, 0)
        return OK, 0

    def _open(self, handle, body, data, connection):
        major, _, _, count, _, fingerprint, address, data_len = struct.unpack_from("<IIQIIQQI", body, 16)
        assert address == 0 and len(data) == data_len
        handle.data = data
        if major != self.abi[0]:
            struct.pack_into("<II", body, 16, *self.abi)
            return ABI_MISMATCH, self.abi[0] << 16 | self.abi[1]
        known = len(self.chains) - 1
        chain = self.chains[min(count, known)]
        struct.pack_into("<IIQIIQ", body, 16, *self.abi, 0, known, 1, chain)
        if count > known or fingerprint != chain:
            return INTERFACE_MISMATCH, 0
        if self.is_gone:
            return DEVICE_GONE, 0
        handle.is_open = True
        struct.pack_into("<Q", body, 64, self.opens)
        return OK, 0

    def _end(self, handle, body, data, connection):
        if handle.is_closed:
            return CLOSED, 0
        self._close(handle)
        return OK, 0

    def _close(self, handle):
        handle.is_closed = True
        handle.enabled = None
        self._hang_up([handle])

    def _enable(self, handle, body, data, connection):
        kinds, least, most, data_len, address = struct.unpack_from("<4IQ", body, 16)
        assert address == 0 and len(data) == data_len
        if self._over(handle):
            return self._over(handle), 0
        if handle.enabled:
            return ALREADY_ENABLED, 0
        self.generation += 1
        self.available, self.notified, self.delivered, self.lost = [0] * most, 0, 0, 0
        handle.enabled, handle.enabled_by = self.generation, (kinds, least, most, data)
        struct.pack_into("<2IQ", body, 40, self.kind, most, self.generation)
        return OK, 0

    def _wait(self, handle, body, data, connection):
        timeout, vector, most = struct.unpack_from("<Q2I", body, 16)
        end = None if timeout == NO_TIMEOUT else time.monotonic() + timeout / 1e9
        enabled = handle.enabled
        self.waits += 1
        self.condition.notify_all()
        try:
            while True:
                if self._over(handle):
                    return self._over(handle), 0
                if enabled is None:
                    return NOT_ENABLED, 0
                if handle.enabled != enabled:
                    return INT_DISABLED, 0
                if vector != ANY_VECTOR and vector >= len(self.available):
                    return BAD_VECTOR, 0
                from_any = [v for v, n in enumerate(self.available) if n and vector in (v, ANY_VECTOR)]
                if from_any:
                    got = min(most, self.available[from_any[0]])
                    self.available[from_any[0]] -= got
                    self.delivered += got
                    left = self.available[from_any[0]]
                    if sum(self.available):
                        self._tell(1)
                    struct.pack_into("<2I2Q", body, 32, from_any[0], got, left, enabled)
                    return OK, 0
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    return TIMEOUT, 0
                if not self.condition.wait(0.05 if left is None else min(left, 0.05)) and is_cut(connection):
                    return INTERRUPTED, 0
        finally:
            self.waits -= 1

    def _count(self, handle, body, data, connection):
        vector, zero = struct.unpack_from("<2I", body, 16)
        assert zero == 0
        if self._over(handle):
            return self._over(handle), 0
        if vector != ANY_VECTOR and vector >= len(self.available):
            return BAD_VECTOR, 0
        self._counters(body, 24)
        return OK, 0

    def _disable(self, handle, body, data, connection):
        if self._over(handle):
            return self._over(handle), 0
        if self.full:
            self.full -= 1
            return TOO_MANY_CALLS, 0
        if not handle.enabled:
            return NOT_ENABLED, 0
        handle.enabled = None
        self.lost += sum(self.available)
        self.available = [0] * len(self.available)
        self._counters(body, 16)
        return OK, 0

    def _counters(self, body, at):
        counters = self.notified, self.delivered, sum(self.available), self.lost
        struct.pack_into("<9Q", body, at, self.generation, 0, 0, 0, 0, *counters)

    def _tell(self, times):
        for handle in self.handles.values():
            for poll in handle.polls if handle.enabled else []:
                try:
                    poll.send(b"!" * times)
                except OSError:
                    pass

    def _hang_up(self, handles):
        for handle in handles:
            for poll in handle.polls:
                poll.close()
            handle.polls = []


def code_of(number):
    access = {QUERY: 0, INT_COUNT: 1}.get(number, 3)
    return 0x8B50 << 16 | access << 14 | (0x800 + number) << 2 | (3 if number == CALL else 0)


def is_cut(connection):
    """Whether the other side has closed it, with a request under way."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def receive(connection, length):
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise EOFError
        data += part
    return data

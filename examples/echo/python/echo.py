"""The echo plugin's app in Python, after docs/abi.md: `python3 echo.py [TEXT]`."""

import fcntl
import os
import struct
import sys
from array import array

OPEN, CALL = 0xC000BF01, 0xC000BF02
NO_REPLY = 0xFFFFFFFF
SAY, HEAR, REPEAT, SAID, NAP = 1, 2, 3, 4, 5
MESSAGES = NAP


def number(n):
    return struct.pack("<Q", n)


def text(s):
    return number(len(s.encode())) + s.encode()


def fields(*them):
    return number(len(them)) + b"".join(text(name) + number(offset) + kind for name, offset, kind in them)


def values(*them):
    return number(len(them)) + b"".join(text(name) + number(value) for name, value in them)


def unsigned(size):
    return number(2) + number(size)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def fingerprint():
    """The fingerprint of the interface, from its canonical form. It could be a constant: it never changes."""
    nothing, some_bytes = number(0), number(5) + unsigned(1)
    style = number(7) + number(4) + values(("Plain", 0), ("Loud", 1), ("Backwards", 2))
    trim = number(8) + number(4) + values(("START", 1), ("END", 2))
    said = number(6) + number(16) + fields(("texts", 0, unsigned(8)), ("bytes", 8, unsigned(8)))
    repeat = fields(("style", 0, style), ("trim", 4, trim), ("text", 8, some_bytes))
    messages = (
        (SAY, "say", fields(("text", 0, some_bytes)), unsigned(4)),
        (HEAR, "hear", fields(), some_bytes),
        (REPEAT, "repeat", repeat, some_bytes),
        (SAID, "said", fields(), said),
        (NAP, "nap", fields(("ms", 0, unsigned(4))), nothing),
    )
    chain = fnv1a(text("echo"))
    for n, name, parameters, reply in messages:
        chain = fnv1a(number(chain) + number(n) + text(name) + parameters + reply)
    return chain


def request(node, what, data):
    """Sends a request; its `detail`."""
    fcntl.ioctl(node, what, data)
    status, detail = struct.unpack_from("<2I", data, 8)
    if status != 0:
        sys.exit(f"echo.py: status {status}, detail {detail}")
    return detail


def open_echo():
    node = os.open("/dev/kp/echo", os.O_RDWR)
    head = (72, 0, NO_REPLY, 0)
    versions = (1, 0, 0, MESSAGES, 1, fingerprint())
    request(node, OPEN, bytearray(struct.pack("<4I2IQ2IQQ2IQ", *head, *versions, 0, 0, 0, 0)))
    return node


def call(node, message, args=b"", data=b"", room=0):
    args, data, reply = array("B", args), array("B", data), array("B", bytes(room))
    head = (56, 0, NO_REPLY, 0)
    lengths = (len(args), len(data), len(reply))
    addresses = [part.buffer_info()[0] if part else 0 for part in (args, data, reply)]
    written = request(node, CALL, bytearray(struct.pack("<4I4I3Q", *head, message, *lengths, *addresses)))
    return reply.tobytes()[:written]


def main():
    words = (sys.argv[1] if len(sys.argv) > 1 else "hello, kernel").encode()
    loud = struct.pack("<2I", 1, 1 | 2)  # style: Loud; trim: START and END
    node = open_echo()
    call(node, SAY, data=words, room=4)
    print("heard     ", call(node, HEAR, room=65536).decode())
    print("louder    ", call(node, REPEAT, loud, words, room=65536).decode())
    texts, count = struct.unpack("<2Q", call(node, SAID, room=16))
    print("so far    ", texts, "text,", count, "bytes")


main()

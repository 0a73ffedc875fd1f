"""A driver for a program that drops its handlers: `dropped.py PROGRAM`. A message resets the device, and another fills it with calls."""

import subprocess
import sys

from edu import Edu
from fake import Fake

RAISE, DEFER_EVERY = (
    next(number for number, message in Edu._kp_interface.messages.items() if message.name.rstrip("_") == name)
    for name in ("raise", "defer_every")
)


def answer(call):
    if call.message == RAISE:
        fake.reset()
    if call.message == DEFER_EVERY:
        fake.full = 3
    return b""


with Fake(Edu._kp_interface.chains, answer) as fake:
    subprocess.run([sys.argv[1]], check=True, timeout=20)

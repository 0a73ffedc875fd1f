"""What edu's app does, by the binding: `edu_story.py [NAME]`. What it prints is what the one in Rust prints."""

import sys
import time

from edu import Edu, Kind, KpError, Status

#: How long an interrupt may take, in seconds.
PATIENCE = 10.0


def main(name: str) -> None:
    with Edu.open(name) as device:
        version = device.version()
        plugin = version.name.rstrip(b"\0").decode()
        print(f"plugin     {plugin} {version.number // 100}.{version.number % 100:02}")
        identity = device.identity()
        inverse = device.invert(0x0F0F0F0F)
        print(f"device     edu {identity.major}.{identity.minor}, alive: !0x0f0f0f0f = {inverse:#010x}")
        for n in (5, 12):
            print(f"factorial  {n}! = {device.factorial(n)}, computed by the device")
        for title, kinds in (("INTx", Kind.LINE), ("MSI", Kind.MSI)):
            interrupts(device, title, kinds)


def interrupts(device: Edu, title: str, kinds: Kind) -> None:
    """Ten interrupts, of which every fifth reaches the app. A system may have assigned the device interrupts of one kind only."""
    device.defer_every(5)
    try:
        irq = device.interrupts(kinds)
    except KpError as error:
        if error.status != Status.NO_INTERRUPT:
            raise
        print(f"{title:<10} not what the device was given here")
        return
    woken = 0
    for number in range(1, 11):
        device.raise_(1)
        start = time.monotonic()
        while irq.counters().received < number:
            if time.monotonic() - start > PATIENCE:
                raise TimeoutError(f"interrupt {number} over {title} did not arrive")
        if number % 5 == 0:
            woken += irq.wait(PATIENCE).got
    counters = irq.disable()
    print(
        f"{title:<10} raised 10: {counters.received} received, {counters.deferred} deferred to the DPC, "
        f"app woken {woken} times, {counters.lost} lost"
    )


main(sys.argv[1] if len(sys.argv) > 1 else "edu")

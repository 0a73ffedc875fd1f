"""edu's interrupts in all ways that the binding has, and a device that goes meanwhile: `edu_interrupts.py [--unbind]`.

It says `remove it` when the device is to go; with --unbind it unbinds the driver itself, as root, where there is a kernel.
"""

import asyncio
import os
import select
import sys
import threading

from edu import Edu, KpError, Status

DRIVER = "/sys/bus/pci/drivers/kp_edu"
HANDLERS = 1000


def unbind() -> None:
    (address,) = [name for name in os.listdir(DRIVER) if ":" in name]
    with open(f"{DRIVER}/unbind", "w", encoding="ascii") as file:
        file.write(address)


async def by_asyncio(device: Edu) -> int:
    taken = 0
    notifications = device.interrupts_async()
    device.raise_(1)
    async for notification in notifications:
        taken += notification.got
        if taken == 3:
            await notifications.aclose()
        else:
            asyncio.get_running_loop().call_later(0.01, device.raise_, 1)
    return taken


def by_descriptor(device: Edu) -> int:
    with device.interrupts() as irq:
        if select.select([irq], [], [], 0)[0]:
            return -1
        device.raise_(1)
        select.select([irq], [], [], 10)
        return irq.wait(0).got


def by_threads(device: Edu) -> int:
    lock, taken = threading.Lock(), []

    def take(notification: object) -> None:
        with lock:
            taken.append(notification)

    for _ in range(HANDLERS):
        with device.on_interrupt(take):
            device.raise_(1)
    return HANDLERS if taken else 0


def until_gone(device: Edu, is_unbinding: bool) -> str:
    print("remove it", flush=True)
    if is_unbinding:
        threading.Thread(target=unbind).start()
    while True:
        try:
            with device.on_interrupt(lambda notification: None):
                device.raise_(1)
        except KpError as error:
            return error.name


def main(is_unbinding: bool) -> None:
    with Edu.open() as device:
        device.defer_every(1)
        print(f"asyncio    {asyncio.run(by_asyncio(device))} taken")
        print(f"descriptor {by_descriptor(device)} taken")
        print(f"threads    {by_threads(device)} handlers, one after the other")
        print(f"a handler  {until_gone(device, is_unbinding)}")
        try:
            device.invert(1)
        except KpError as error:
            assert error.status == Status.DEVICE_GONE
            print(f"a call     {error.name}")


main("--unbind" in sys.argv[1:])

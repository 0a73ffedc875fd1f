"""Sends the messages that standard input names, a line each: what is recorded of them is compared with what kp-user sends."""

import sys

from echo import Echo, KpError, Style, Trim


def main() -> None:
    with Echo.open() as device:
        for line in sys.stdin:
            name, *words = line.split()
            try:
                if name == "say":
                    device.say(bytes.fromhex(words[0][1:]))
                elif name == "hear":
                    device.hear(room=int(words[0]))
                elif name == "repeat":
                    style, trim, text, room = words
                    device.repeat(Style(int(style)), Trim(int(trim)), bytes.fromhex(text[1:]), room=int(room))
                elif name == "said":
                    device.said()
                else:
                    device.nap(int(words[0]))
            except KpError:
                pass  # the driver's answer is another test's


main()

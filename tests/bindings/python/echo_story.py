"""What echo's app does, by the binding: `echo_story.py [TEXT]`. What it prints is what the one in Rust prints."""

import sys

from echo import Echo, Style, Trim


def main(text: str) -> None:
    with Echo.open("echo") as device:
        device.say(text.encode())
        print("heard     ", device.hear().decode())
        loud = device.repeat(Style.LOUD, Trim.START | Trim.END, text.encode())
        print("louder    ", loud.decode())
        said = device.said()
        print(f"so far     {said.texts} text, {said.bytes} bytes")


main(sys.argv[1] if len(sys.argv) > 1 else "hello, kernel")

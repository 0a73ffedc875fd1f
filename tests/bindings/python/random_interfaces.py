"""Sends random messages of many interfaces: `random_interfaces.py FOLDER`, of which each folder has a package, and its interface as schema.json.

What a value's bytes are is said here once more, after docs/abi.md, of the schema alone.
"""

import importlib
import json
import os
import random
import sys

from fake import Fake


def value(kind, wire, rng):
    """A value of a type, by the classes that the binding has for it."""
    name = kind["kind"]
    if name == "unit":
        return None
    if name == "bool":
        return rng.random() < 0.5
    if name in ("uint", "int"):
        bits = 8 * kind["size"]
        low, high = (0, 2**bits - 1) if name == "uint" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        return rng.choice([low, high, 0, rng.randint(low, high)])
    if name == "array" and is_byte(kind["element"]):
        return rng.randbytes(kind["length"])
    if name == "array":
        return tuple(value(kind["element"], wire._element, rng) for _ in range(kind["length"]))
    if name == "struct":
        fields = zip(kind["fields"], wire._fields)
        return wire._of(*[value(field["type"], wire, rng) for field, (_, _, wire) in fields])
    numbers = [one["value"] for one in kind["values"]]
    if name == "enum":
        return wire._of(rng.choice(numbers))
    bits = 0
    for number in rng.sample(numbers, rng.randint(0, len(numbers))):
        bits |= number
    return wire._of(bits)


def encode(kind, it):
    """Its bytes."""
    name = kind["kind"]
    if name == "unit":
        return b""
    if name in ("array", "slice"):
        return bytes(it) if is_byte(kind["element"]) else b"".join(encode(kind["element"], one) for one in it)
    if name == "struct":
        data = bytearray(kind["size"])
        for field, one in zip(kind["fields"], vars(it).values()):
            part = encode(field["type"], one)
            data[field["offset"] : field["offset"] + len(part)] = part
        return bytes(data)
    return int(it).to_bytes(kind.get("size", 1), "little", signed=name == "int")


def spoil(kind, data, at=0):
    """Bytes that are no value of the type any more; None if all are."""
    name = kind["kind"]
    if name == "bool":
        return data[:at] + b"\2" + data[at + 1 :]
    if name in ("enum", "flags"):
        numbers = [one["value"] for one in kind["values"]]
        mask = 0
        for number in numbers:
            mask |= number
        for number in (256 ** kind["size"] - 1, 0, 1, 0x55):
            if number & ~mask if name == "flags" else number not in numbers:
                return data[:at] + number.to_bytes(kind["size"], "little") + data[at + kind["size"] :]
    if name == "array" and kind["length"]:
        return spoil(kind["element"], data, at)
    for field in kind.get("fields", []):
        spoiled = spoil(field["type"], data, at + field["offset"])
        if spoiled is not None:
            return spoiled
    return None


def is_byte(kind):
    return kind == {"kind": "uint", "size": 1}


def size(kind):
    return 1 if kind["kind"] == "bool" else kind["length"] * size(kind["element"]) if "length" in kind else kind.get("size", 0)


def try_message(device, fake, message, rng):
    wires = device._kp_interface.messages[message["id"]]
    of_args = [wire for _, wire in wires.args]
    values, fixed, data = [], b"", b""
    for arg in message["args"]:
        kind = arg["type"]
        if kind["kind"] == "slice":
            element, wire = kind["element"], wires.data[1]
            items = [value(element, wire, rng) for _ in range(rng.choice([0, 1, 7, 100]))]
            values.append(bytes(items) if is_byte(element) else items)
            data = encode(kind, items)
        else:
            values.append(value(kind, of_args.pop(0), rng))
            fixed += encode(kind, values[-1])
    kind = message["reply"]
    if kind["kind"] == "slice":
        due = [value(kind["element"], wires.reply, rng) for _ in range(rng.choice([0, 1, 7]))]
        due = bytes(due) if is_byte(kind["element"]) else due
        room = 65536 // size(kind["element"]) * size(kind["element"])
    else:
        due = value(kind, wires.reply, rng)
        room = size(kind)
    reply = encode(kind, due)
    fake.answer = lambda call: reply
    method = getattr(device, wires.name)
    assert method(*values) == due, f"{wires.name}: the reply"
    sent = fake.calls()[-1]
    assert (sent.message, sent.args, sent.data, sent.room) == (message["id"], fixed, data, room), f"{wires.name}: {values}"
    element = kind.get("element", kind) if kind["kind"] == "slice" else kind
    is_list = kind["kind"] == "slice"
    spoiled = None if is_list and not due else spoil(element, reply)
    others = [spoiled] if spoiled is not None else []
    if not is_list and reply:
        others.append(reply[:-1])
    elif is_list and size(element) > 1:
        others.append(reply + b"\0")
    for other in others:
        fake.answer = lambda call: other
        try:
            method(*values)
        except Exception as error:
            assert getattr(error, "name", "") == "Protocol", f"{wires.name}: {error!r}"
        else:
            raise AssertionError(f"{wires.name}: {other!r} is taken for a value")
    return 1 + len(others)


def main(folder):
    count = 0
    names = sorted(os.listdir(folder))
    for name in names:
        here = os.path.join(folder, name)
        with open(os.path.join(here, "schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        sys.path.insert(0, here)
        (package,) = [one for one in os.listdir(here) if os.path.isdir(os.path.join(here, one)) and one != "__pycache__"]
        module = importlib.import_module(package)
        (device,) = [of for of in vars(module).values() if isinstance(of, type) and hasattr(of, "_kp_interface")]
        rng = random.Random(name)
        with Fake(tuple(int(chain, 16) for chain in schema["chains"])) as fake, device.open("any") as opened:
            for message in schema["messages"]:
                assert opened.has(message["id"]) != message["retired"]
                for _ in range(0 if message["retired"] else 3):
                    count += try_message(opened, fake, message, rng)
        sys.path.pop(0)
        for module in [one for one in sys.modules if one.partition(".")[0] == package]:
            del sys.modules[module]
    print(f"{len(names)} interfaces, {count} calls")


main(sys.argv[1])

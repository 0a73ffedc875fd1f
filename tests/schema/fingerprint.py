#!/usr/bin/env python3
"""Computes the fingerprint of each schema on standard input, a JSON object a line: docs/schema.md, docs/abi.md."""
import json
import struct
import sys


def number(n):
    return struct.pack("<Q", n)


def text(s):
    return number(len(s.encode())) + s.encode()


def fields(items):
    return number(len(items)) + b"".join(text(i["name"]) + number(i["offset"]) + type_(i["type"]) for i in items)


def values(items):
    return number(len(items)) + b"".join(text(i["name"]) + number(i["value"]) for i in items)


def type_(t):
    tag = number(["unit", "bool", "uint", "int", "array", "slice", "struct", "enum", "flags"].index(t["kind"]))
    if t["kind"] in ("array", "slice"):
        return tag + type_(t["element"]) + (number(t["length"]) if "length" in t else b"")
    tag += number(t["size"]) if "size" in t else b""
    return tag + (fields(t["fields"]) if "fields" in t else values(t["values"]) if "values" in t else b"")


def fnv(data):
    hash = 0xCBF29CE484222325
    for byte in data:
        hash = (hash ^ byte) * 0x100000001B3 % 2**64
    return hash


for line in sys.stdin:
    schema = json.loads(line)
    chain = fnv(text(schema["name"]))
    for m in schema["messages"]:
        chain = fnv(number(chain) + number(m["id"]) + text(m["name"]) + fields(m["args"]) + type_(m["reply"]))
    print(f"{chain:016x}")

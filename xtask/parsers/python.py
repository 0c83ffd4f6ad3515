"""Reads messages with json and says of each whether it is what mcpool sees in it.

The argument is a JSON file: a list of [line, id, method, name], all but the line as JSON text or null.
Written is a line for each: "same", or what differs.
"""

import json
import sys


class Digits(str):
    """A number by its text: the parser rounds what does not fit into a double."""


def read(text):
    return json.loads(text, parse_int=Digits, parse_float=Digits)


def member(value, name):
    return value.get(name, ...) if isinstance(value, dict) else ...


def is_same(found, expected):
    if expected is None:
        return found is ...
    wanted = read(expected)
    return type(found) is type(wanted) and found == wanted


def judge(line, *expected):
    try:
        message = read(line)
    except (ValueError, RecursionError) as error:
        return f"refused: {error}"
    found = [
        member(message, "id"),
        member(message, "method"),
        member(member(message, "params"), "name"),
    ]
    names = ["id", "method", "name"]
    differing = [
        name
        for name, one, other in zip(names, found, expected)
        if not is_same(one, other)
    ]
    return "differs in " + ", ".join(differing) if differing else "same"


with open(sys.argv[1], encoding="utf-8") as cases:
    for case in json.load(cases):
        print(judge(*case).replace("\n", " "))

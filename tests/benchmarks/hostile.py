"""Tokens of the greatest length (16,384 bytes), made to cost a verifier as much as they can; none is validly signed.

Limits on the marks or the objects of an unverified text are met too: every unit comes a few times, some hundred times
and as often as it fits, the rest of the length being one long string.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable

from .tokens import AUDIENCE, ISSUER, Signer, b64

LENGTH = 16_384
SIGNATURE = {"RS256": 256, "ES256": 64, "EdDSA": 64, "HS256": 32}
UNTRUSTED = 4_096  # bytes of a payload that is read without a key
COUNTS = (60, 250, 500, LENGTH)
Text = Callable[[], str]

# what stands between commas in a list
UNITS = {
    "{}": "{}",
    "[]": "[]",
    "list 60 deep": "[" * 60 + "]" * 60,
    "object 30 deep": '{"a":' * 30 + "0" + "}" * 30,
    "small integer": "7",
    "long float": "0.1000000000000000055511151231257827",
    "short float": "1e1",
    "float of 25 characters": "1.23456789012345678901e-30"[:25],
    "float that is dear": "1" * 42 + "e-300",
    "integer of 4,300 digits": "7" * 4300,
    "integer of 4,301 digits": "7" * 4301,
    "empty string": '""',
    "escapes": '"' + "\\u00e9\\n" * 20 + '"',
    "one escape": '"\\/"',
    "surrogate pairs": '"' + "\\ud83d\\ude00" * 10 + '"',
    "non-ASCII text": '"' + "\u00e9\U0001f600" * 20 + '"',
    "object of one member": '{"a":0}',
    "object of one float": '{"a":1.5}',
}


def filled(start: str, middle: str, room: int, end: str = "") -> str:
    """`start`, `middle` as one more member or more, and a long string up to `room` bytes of JSON."""
    rest = room - len((start + middle + end).encode()) - len(',"z":""}')
    return f'{start}{middle},"z":"{"a" * max(rest, 0)}"{end}}}'


def lists(start: str, room: int) -> dict[str, str]:
    shapes = {}
    for name, unit in UNITS.items():
        fits = max(1, (room - len(start) - 20) // (len(unit.encode()) + 1))
        for count in sorted({min(count, fits) for count in COUNTS}):
            shapes[f"{count} x {name}"] = filled(start, f',"x":[{",".join([unit] * count)}]', room)
    return shapes


def members(start: str, room: int) -> dict[str, str]:
    shapes = {}
    for count in COUNTS:
        named = [f',"{number:x}":0' for number in range(min(count, (room - len(start) - 60) // 9))]
        shapes[f"{len(named)} members"] = filled(start, "".join(named), room)
        shapes[f"{len(named)} members, one twice"] = filled(start, "".join(named), room, named[-1])
    return shapes


def header_shapes(start: str, room: int) -> dict[str, str]:
    deep = (room - len(start) - 10) // 2
    return {
        **lists(start, room),
        **members(start, room),
        "nested too deep": f'{start},"x":{"[" * deep}{"]" * deep}}}',
        "never closed": f'{start},"x":{"[" * (2 * deep)}',
        "one long string": filled(start, "", room),
        "one long x5c": f'{start},"x5c":["{"M" * (2 * deep - 8)}"]}}',
        "white space": start + " " * (2 * deep) + "}",
        "one long string of escapes": start + ',"x":"' + "\\n" * (deep - 4) + '"}',
        "lone surrogate at the end": filled(start, "", room, ',"x":"\\ud800"'),
        "NaN at the end": filled(start, "", room, ',"x":NaN'),
    }


def bearer(header: str, payload: str, signature: int) -> Text:
    """A function, because every request gets a signature of its own: nothing of it can be remembered."""
    start = f"Bearer {b64(header.encode())}.{b64(payload.encode())}."
    return lambda: start + b64(secrets.token_bytes(signature))


def decoded(length: int) -> int:
    return length * 3 // 4 - 1


def tokens(source: Signer) -> dict[str, Text]:
    """Authorization values by shape: a hostile header under a known kid; under an unknown one a hostile payload too.

    The payloads pass every check that can be made without a key, so that none of them ends early.
    """
    now = int(time.time())
    size = SIGNATURE[source.alg]
    known = json.dumps({"typ": "at+jwt", "alg": source.alg, "kid": source.kid}, separators=(",", ":"))
    unknown = known.replace(source.kid, "nobody")
    payload = json.dumps({"iss": ISSUER, "aud": AUDIENCE, "exp": now + 3600, "sub": "a"}, separators=(",", ":"))
    room = LENGTH - 2 - len(b64(bytes(size)))
    both = decoded(room - len(b64(bytes(UNTRUSTED))))
    shapes = {
        f"header: {name}": bearer(text, payload, size)
        for name, text in header_shapes(known[:-1], decoded(room - len(b64(payload.encode())))).items()
    }
    plain = filled(payload[:-1], "", decoded(room - len(b64(known.encode()))))
    shapes["payload of 12 KB"] = bearer(known, plain, size)
    for name, text in {**lists(payload[:-1], UNTRUSTED), **members(payload[:-1], UNTRUSTED)}.items():
        rest = decoded(LENGTH - 2 - len(b64(unknown.encode())) - len(b64(text.encode())))
        shapes[f"unknown kid, payload: {name}"] = bearer(unknown, text, rest)
        for part, hostile in {**lists(unknown[:-1], both), **members(unknown[:-1], both)}.items():
            if name.partition(" ")[2] == part.partition(" ")[2] and name.startswith(("250 ", "500 ")):
                shapes[f"unknown kid, header: {part}, payload: {name}"] = bearer(hostile, text, size)
    shapes["signature of 15 KB"] = bearer(known, payload, decoded(LENGTH - 400))
    return shapes


def values() -> dict[str, Text]:
    """Header values that are not even one token."""
    room = LENGTH + 64
    fixed = {
        "value: dots": "Bearer " + "." * LENGTH,
        "value: a.a.a.a": "Bearer " + "a." * (LENGTH // 2),
        "value: one word": "Bearer " + "a" * LENGTH,
        "value: last byte bad": "Bearer " + "a" * (LENGTH - 1) + "\xe9",
        "value: spaces": "Bearer" + " " * (room - 7) + "a",
        "value: spaces after": "Bearer a" + " " * (room - 8),
        "value: commas": "x" + ", x" * (room // 3 - 1),
        "value: many Bearer": ",".join(["Bearer a"] * (room // 9)),
        "value: Basic, then commas": "Basic " + "a ,\t" * (room // 4 - 2),
        "value: too long by far": "Bearer " + "a." * 30_000,
    }
    return {name: (lambda value=value: value) for name, value in fixed.items()}

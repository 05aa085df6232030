"""Mutated tokens and header values: from true tokens, by changes that attackers and accidents make. Seeded."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from .kit import b64, claims, key, token

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ODD = [
    "",
    ".",
    "=",
    "+",
    "/",
    "~",
    " ",
    ",",
    "\t",
    "\n",
    "\x00",
    "\x7f",
    "\xa0",
    "é",
    "\xff",
    "%",
    "Bearer ",
    ", Bearer x",
    '"',
]
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1e308,
    10**30,
    "",
    "x",
    "\ud800",
    [],
    {},
    [[]],
    {"a": {}},
    "none",
    "HS256",
    "é",
    ["x", 1],
    float("nan"),
]
NAMES = ["alg", "kid", "typ", "cty", "crit", "b64", "enc", "jwk", "jku", "x5c", "zip", "p2s"]
CLAIMS = ["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "client_id", "scope", "cnf", "typ", "ttype", "events", "x"]


class Mutator:
    """``next(values())`` is an Authorization value, as the Latin-1 octets that a server would hand on."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.originals = [token(), token(by=key("RS256")), token(by=key("EdDSA")), token(header={"kid": ...})]

    def values(self) -> Iterator[bytes]:
        ways = [self.text, self.text, self.segments, self.header, self.payload, self.bits, self.value, self.noise]
        while True:
            yield self.random.choice(ways)().encode("latin-1", "replace")[:17_000]

    def original(self) -> str:
        return self.random.choice(self.originals)

    def text(self) -> str:
        """Insert, delete, replace or double some characters anywhere in the token."""
        text = self.original()
        for _ in range(self.random.randint(1, 3)):
            at, end = sorted(self.random.choices(range(len(text) + 1), k=2))
            end = min(end, at + self.random.choice([0, 1, 1, 1, 4, 400]))
            new = self.random.choice([self.random.choice(ODD), self.random.choice(ALPHABET), text[at:end] * 2])
            text = text[:at] + new + text[end:]
        return "Bearer " + text

    def segments(self) -> str:
        """Swap segments between tokens."""
        parts = [
            self.original().split(".")[self.random.randrange(3)]
            for _ in range(self.random.choice([1, 2, 3, 3, 3, 4, 5]))
        ]
        return "Bearer " + ".".join(parts)

    def header(self) -> str:
        header = {"alg": "ES256", "kid": key().kid, "typ": "at+jwt"}
        name = self.random.choice(NAMES)
        header[name] = self.random.choice([*VALUES, "at+jwt", "RS256", key("RS256").kid])
        _, payload, signature = self.original().split(".")
        return f"Bearer {b64(self.dumps(header))}.{payload}.{signature}"

    def payload(self) -> str:
        changed = claims({self.random.choice(CLAIMS): self.random.choice(VALUES) for _ in range(2)})
        header, _, signature = self.original().split(".")
        if self.random.random() < 0.3:
            header = b64(json.dumps({"alg": "ES256", "kid": self.random.choice(["unknown", "", key().kid])}))
        return f"Bearer {header}.{b64(self.dumps(changed))}.{signature}"

    def dumps(self, value: Any) -> bytes:
        text = json.dumps(value)
        if self.random.random() < 0.3:
            at = self.random.randrange(len(text))
            text = text[:at] + self.random.choice([*ODD, "{", "[", '{"alg":"none"},', "\\u"]) + text[at:]
        return text.encode(self.random.choice(["utf-8", "utf-8", "utf-8", "utf-16", "latin-1"]), "replace")

    def bits(self) -> str:
        """Flip one bit of the decoded signature, or of its last character."""
        text = self.original()
        at = self.random.choice([len(text) - 1, self.random.randrange(text.rindex(".") + 1, len(text))])
        return "Bearer " + text[:at] + self.random.choice(ALPHABET) + text[at + 1 :]

    def value(self) -> str:
        """Change what stands around the token."""
        scheme = self.random.choice(["Bearer", "bearer", "BEARER", "Basic", "Bearer,", "DPoP", "", "Bearer Bearer"])
        gap = self.random.choice([" ", "  ", "\t", "", ",", " , ", "\xa0", "\r\n "])
        tail = self.random.choice(["", " ", "\t", ",", "=", "==", ", " + self.original(), ",Bearer", "\x00", "\n"])
        return scheme + gap + self.original() + tail

    def noise(self) -> str:
        size = self.random.choice([0, 1, 5, 50, 3000, 16_500])
        pool = self.random.choice([ALPHABET + "...", "".join(map(chr, range(256))), "[{\"'\\", ",Bearer "])
        return self.random.choice(["Bearer ", "", "Basic "]) + "".join(self.random.choices(pool, k=size))

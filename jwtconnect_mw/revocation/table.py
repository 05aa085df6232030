"""A mapping that gives memory back when its entries go, a little at a time."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")
Key = tuple[str, str]

_SHARDS = 256  # a power of two
_LAST = _SHARDS - 1
_SMALL = 64  # entries below which a shard is not worth copying


class Table(Generic[V]):
    """Entries by issuer and name. Reading takes no lock; writers keep each other out themselves.

    A dict never shrinks by itself, and to copy one of a million entries takes long: so there are many small ones, each
    copied when three quarters of it are gone.
    """

    def __init__(self) -> None:
        self._shards: list[dict[Key, V]] = [{} for _ in range(_SHARDS)]
        self._most = [0] * _SHARDS

    def get(self, issuer: str, name: str) -> V | None:
        return self._shards[hash(name) & _LAST].get((issuer, name))

    def put(self, key: Key, value: V) -> None:
        number = hash(key[1]) & _LAST
        shard = self._shards[number]
        shard[key] = value
        self._most[number] = max(self._most[number], len(shard))

    def drop(self, key: Key) -> None:
        """The entry must be there."""
        number = hash(key[1]) & _LAST
        shard = self._shards[number]
        del shard[key]
        if len(shard) * 4 < self._most[number] and self._most[number] > _SMALL:
            self._shards[number] = dict(shard)
            self._most[number] = len(shard)

    def __len__(self) -> int:
        return sum(map(len, self._shards))

"""Reseeds random number generators. A component is a snapshot of Python, taken after the plugin's modules were
imported. The host seeds the generator behind ``random.random()`` for each instance. Any other unseeded
``random.Random()`` that a module created is part of the snapshot, so every instance would get the same numbers from it.
Generators with an explicit seed are not changed."""

from __future__ import annotations

import random
import weakref

_seed = random.Random.seed
_unseeded: weakref.WeakSet[random.Random] = weakref.WeakSet()


def install() -> None:
    """Records the generators that are created from now on. Call it before the plugin's modules are imported."""

    def seed(self: random.Random, a: object = None, version: int = 2) -> None:
        _seed(self, a, version)  # type: ignore[arg-type]
        if a is None:
            _unseeded.add(self)
        else:
            _unseeded.discard(self)

    random.Random.seed = seed  # type: ignore[method-assign]


def reseed() -> None:
    """Reseeds the recorded generators. Call it at the start of an invocation."""
    for generator in list(_unseeded):
        _seed(generator)

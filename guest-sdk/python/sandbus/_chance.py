"""What a snapshot would freeze. A component is a snapshot of Python after the plugin's modules were imported. The
generator behind ``random.random()`` is seeded afresh for each instance; any other ``random.Random()`` that a module made
would begin with the same numbers in each. One with a seed of its own is left alone."""

from __future__ import annotations

import random
import weakref

_seed = random.Random.seed
_unseeded: weakref.WeakSet[random.Random] = weakref.WeakSet()


def install() -> None:
    """Takes note of generators from now on. It happens before the plugin's modules are imported."""

    def seed(self: random.Random, a: object = None, version: int = 2) -> None:
        _seed(self, a, version)  # type: ignore[arg-type]
        if a is None:
            _unseeded.add(self)
        else:
            _unseeded.discard(self)

    random.Random.seed = seed  # type: ignore[method-assign]


def begin() -> None:
    """Begins an invocation."""
    for generator in list(_unseeded):
        _seed(generator)

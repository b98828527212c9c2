"""Noise seeds that depend on what is seen, not on when it is computed."""

from __future__ import annotations

import hashlib


def stamp_seed(seed: int, stamp: float) -> int:
    """Noise seed of an observation: the same for the same seed and stamp [s], on every machine."""
    digest = hashlib.blake2b(f"{seed}:{round(stamp * 1e6)}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1

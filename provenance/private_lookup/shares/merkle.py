"""Merkle trees as certificate transparency hashes them (RFC 9162, section 2.1.1), with SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def leaf_hash(data: bytes) -> bytes:
    """Return a leaf's hash, 32 bytes; no inner node can have the same."""
    return hashlib.sha256(b"\0" + data).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root's hash, 32 bytes.

    Args:
        leaves: their hashes, in order; of none at all the root is the hash of nothing.
    """
    level = list(leaves)
    if not level:
        return hashlib.sha256().digest()
    # Pairs from the left, and what is left over moves up unchanged: the same tree as the standard's splits at the
    # largest power of two give.
    while len(level) > 1:
        paired = [hashlib.sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]

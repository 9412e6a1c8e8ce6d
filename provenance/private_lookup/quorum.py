"""How t of n keyholders decrypt: replicated sharing of the secret (Ito, Saito and Nishizeki, GLOBECOM 1987).

The secret is a sum of sub-keys, one for every choice of t - 1 keyholders, which all keyholders but these hold. Any t of
them hold all sub-keys between them, and any t - 1 miss the one that was made against them. Keys are made as n-of-n keys
are, with sub-keys for parties; where t is n, each keyholder has one sub-key of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from provenance.private_lookup.errors import BadInput, SchemeError


def sub_keys(names: Sequence[str], needed: int) -> list[tuple[str, ...]]:
    """Return who holds each sub-key, C(n, t - 1) of them; the first holder makes it.

    Raises:
        SchemeError: ``needed`` is not 2..n. One keyholder alone would be no sharing.
    """
    if not 2 <= needed <= len(names):
        raise SchemeError(f"Of {len(names)} keyholders 2 to {len(names)} can be needed, not {needed}.")
    return list(combinations(names, len(names) - needed + 1))


def made_by(holders: Sequence[tuple[str, ...]], name: str) -> list[int]:
    """Return the numbers of the sub-keys that a keyholder makes."""
    return [number for number, some in enumerate(holders) if some[0] == name]


def used_by(holders: Sequence[tuple[str, ...]], present: Sequence[str]) -> dict[str, list[int]]:
    """Return the numbers of the sub-keys that each of those present uses: every sub-key is used by one of them.

    Raises:
        BadInput: they do not have all sub-keys.
    """
    used: dict[str, list[int]] = {name: [] for name in present}
    for number, some in enumerate(holders):
        user = next((name for name in present if name in some), None)
        if user is None:
            raise BadInput("Too few keyholders take part.")
        used[user].append(number)
    return used


def arranged(used: Mapping[str, Sequence[int]], parts: Mapping[str, Sequence[bytes]], count: int) -> list[list[bytes]]:
    """Return the shares of each of ``count`` ciphertexts in the order of the sub-keys.

    Args:
        used: what :func:`used_by` returned.
        parts: each keyholder's shares: of the first ciphertext under each of its sub-keys, of the second, and on.

    Raises:
        BadInput: there are too few, or too many.
    """
    shares: list[dict[int, bytes]] = [{} for _ciphertext in range(count)]
    for name, numbers in used.items():
        if len(parts[name]) != count * len(numbers):
            raise BadInput(f"{name} gives too few shares, or too many.")
        for at, share in enumerate(parts[name]):
            shares[at // len(numbers)][numbers[at % len(numbers)]] = share
    return [[some[number] for number in sorted(some)] for some in shares]

"""Trees: the roots of the reference implementation's test data (RFC 9162's hashing), and what they bind to."""

from __future__ import annotations

import hashlib

import pytest

from provenance.private_lookup.shares.merkle import leaf_hash, root

# Entries and roots of certificate transparency's own tests.
ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


@pytest.mark.parametrize("count", ROOTS)
def test_roots_are_those_of_certificate_transparency(count: int) -> None:
    assert root(leaf_hash(bytes.fromhex(entry)) for entry in ENTRIES[:count]).hex() == ROOTS[count]


def split_root(leaves: list[bytes]) -> bytes:
    """As the standard defines it: split at the largest power of two below the number of leaves."""
    if len(leaves) == 1:
        return leaves[0]
    at = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + split_root(leaves[:at]) + split_root(leaves[at:])).digest()


@pytest.mark.parametrize("count", range(1, 40))
def test_any_number_of_leaves_gives_the_standards_tree(count: int) -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(count)]
    assert root(leaves) == split_root(leaves)
    swapped = [*leaves[1:], leaves[0]]
    assert count == 1 or root(swapped) != root(leaves)

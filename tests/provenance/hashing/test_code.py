"""Codes, their distance, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest

from provenance.hashing.code import HashCode, chance_fpr, distances, hamming


def code(hexadecimal: str, algorithm: str = "a-v1") -> HashCode:
    return HashCode.from_hex(algorithm, hexadecimal)


def test_a_code_reads_most_significant_bit_first() -> None:
    packed = HashCode.from_array("a-v1", [1, 0, 0, 0, 0, 0, 1, 1])
    assert packed.hex == "83"
    assert packed.bitstring() == "10000011"
    assert HashCode.from_hex("a-v1", "0083").bitstring() == "0000000010000011"


def test_bits_and_length_must_agree() -> None:
    with pytest.raises(ValueError, match="are not"):
        HashCode("a-v1", b"\0", 16)
    with pytest.raises(ValueError, match="fromhex"):
        HashCode.from_hex("a-v1", "xyz")


def test_hamming_counts_differing_bits() -> None:
    assert hamming(code("00ff"), code("00ff")) == 0
    assert hamming(code("00ff"), code("ff00")) == 16
    assert hamming(code("80"), code("01")) == 2


@pytest.mark.parametrize("other", [code("00", "b-v1"), code("0000")])
def test_codes_of_different_kinds_are_not_compared(other: HashCode) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        hamming(code("00"), other)


def test_distances_agree_with_hamming() -> None:
    chosen = np.random.default_rng(1)
    packed = chosen.integers(0, 256, (50, 12), dtype=np.uint8)
    query = HashCode("a-v1", packed[0].tobytes(), 96)
    assert distances(query, packed).tolist() == [hamming(query, HashCode("a-v1", row.tobytes(), 96)) for row in packed]
    assert distances(query, packed[:0]).tolist() == []
    with pytest.raises(ValueError, match="do not hold"):
        distances(query, packed[:, :5])


@pytest.mark.parametrize(("tau", "rate"), [(24, 4.8e-7), (20, 3.7e-9), (32, 7.1e-4)])
def test_the_published_chance_figures_of_96_bits(tau: int, rate: float) -> None:
    """DinoHash (arXiv 2503.11195): 72, 76 and 64 of 96 equal bits."""
    assert chance_fpr(96, tau) == pytest.approx(rate, rel=0.02)


def test_chance_at_the_ends() -> None:
    assert chance_fpr(64, -1) == 0
    assert chance_fpr(64, 64) == 1
    assert chance_fpr(64, 0) == 2**-64

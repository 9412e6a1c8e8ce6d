"""Hash codes: fixed-length bit strings compared by Hamming distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class HashCode:
    """One code under one algorithm.

    Attributes:
        algorithm: versioned id, such as ``pdq-v1``; only codes of one algorithm can be compared.
        bits: the code packed most significant bit first, ``length / 8`` bytes.
        length: number of bits, a multiple of 8.
    """

    algorithm: str
    bits: bytes
    length: int

    def __post_init__(self) -> None:
        if self.length % 8 or len(self.bits) * 8 != self.length:
            raise ValueError(f"{len(self.bits)} bytes are not {self.length} bits")

    @property
    def hex(self) -> str:
        """The code as ``length / 4`` lower-case hex digits."""
        return self.bits.hex()

    def bitstring(self) -> str:
        """Return the code as ``length`` characters 0 and 1, most significant bit first."""
        return format(int.from_bytes(self.bits, "big"), f"0{self.length}b")

    @classmethod
    def from_hex(cls, algorithm: str, text: str) -> HashCode:
        """Read a code from hex digits.

        Raises:
            ValueError: not an even number of hex digits.
        """
        bits = bytes.fromhex(text)
        return cls(algorithm, bits, 8 * len(bits))

    @classmethod
    def from_array(cls, algorithm: str, array: npt.ArrayLike) -> HashCode:
        """Pack an array of ``length`` values, true where a bit is 1, first value first."""
        flat = np.asarray(array).astype(bool).ravel()
        return cls(algorithm, np.packbits(flat).tobytes(), flat.size)


def hamming(a: HashCode, b: HashCode) -> int:
    """Return in how many bits two codes differ, 0 to their length.

    Raises:
        ValueError: they are not of one algorithm and length.
    """
    if a.algorithm != b.algorithm or a.length != b.length:
        raise ValueError(f"{a.algorithm}/{a.length} and {b.algorithm}/{b.length} cannot be compared")
    return (int.from_bytes(a.bits, "big") ^ int.from_bytes(b.bits, "big")).bit_count()


def distances(query: HashCode, packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return the Hamming distance of one code to many.

    Args:
        packed: uint8 [N, length / 8], rows packed as :attr:`HashCode.bits`.

    Returns:
        int64 [N], each 0 to ``length``.

    Raises:
        ValueError: the rows have another length than the query.
    """
    if packed.ndim != 2 or packed.shape[1] * 8 != query.length:
        raise ValueError(f"rows of {packed.shape} do not hold codes of {query.length} bits")
    differing = packed ^ np.frombuffer(query.bits, dtype=np.uint8)
    counts: npt.NDArray[np.int64] = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
    return counts


def chance_fpr(length: int, tau: int) -> float:
    """Return P(distance <= tau) for two codes of independent fair bits: the lower tail of Bin(length, 1/2).

    It is a model, not a measurement: real pictures share structure, and their codes' bits are neither fair nor
    independent (arXiv 2503.11195, equation 2, uses it as if it were measured).
    """
    if tau < 0:
        return 0.0
    return float(sum(math.comb(length, k) for k in range(min(tau, length) + 1)) / 2**length)


@dataclass(frozen=True)
class Fingerprint:
    """A picture's code and whether it means anything.

    Attributes:
        code: the code.
        quality: 0 (flat) to 1 (rich in detail), by the algorithm's own measure.
        usable: False for a picture too simple to fingerprint: its code is that of countless others.
    """

    code: HashCode
    quality: float
    usable: bool

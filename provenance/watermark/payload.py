"""What a signature says: 24 bits that number a record, 40 bits that prove who numbered it, and the code around them.

The 64 bits are protected by the BCH code (127, 64), which corrects any 10 wrong bits; here it is decoded from soft
values, by ordered statistics (Fossorier and Lin, IEEE Trans. Information Theory 1995), which corrects most words with
twice as many. It always gives some code word: what tells a signature from noise is the 40-bit tag, which nobody
makes up without the key.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt

DATA_BITS, RAW_BITS = 64, 127
NUMBER_BITS, TAG_BITS = 24, 40

_FIELD = 7
# x^7 + x^3 + 1, the primitive polynomial of the usual tables (Lin and Costello, Error Control Coding, appendix B).
_PRIMITIVE = 0b10001001
_CORRECTED = 10
# How many of the 64 most reliable independent bits are tried as wrong at once, and among how many least reliable ones.
_TRIED = ((1, 64), (2, 64), (3, 64), (4, 32))

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Payload:
    """A signature's 64 bits.

    Attributes:
        number: of the record, 0 to 2^24 - 1.
        tag: 5 bytes, see ``authentication_tag``.
    """

    number: int
    tag: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.number < 1 << NUMBER_BITS:
            raise ValueError(f"a record's number has {NUMBER_BITS} bits, not {self.number}")
        if len(self.tag) != TAG_BITS // 8:
            raise ValueError(f"a tag has {TAG_BITS // 8} bytes, not {len(self.tag)}")


def authentication_tag(key: bytes, number: int, subject: bytes) -> bytes:
    """Return the 5 bytes that only the key's owner can make: HMAC-SHA256 (RFC 2104), cut to its first 40 bits.

    Args:
        key: at least 16 bytes.
        number: of the record.
        subject: what the signature belongs to, such as the picture's perceptual hash, so that it says nothing about
            another picture.
    """
    if len(key) < 16:
        raise ValueError("the key of signatures needs at least 16 bytes")
    message = b"provenance signature-v1\0" + number.to_bytes(4, "big") + hashlib.sha256(subject).digest()
    return hmac.digest(key, message, "sha256")[: TAG_BITS // 8]


def is_genuine(key: bytes, payload: Payload, subject: bytes) -> bool:
    """Say whether the key's owner gave this number to this subject."""
    return hmac.compare_digest(payload.tag, authentication_tag(key, payload.number, subject))


def encode(payload: Payload) -> Bits:
    """Return the code word, bool ``[127]``."""
    value = payload.number << TAG_BITS | int.from_bytes(payload.tag, "big")
    data = np.array([value >> (DATA_BITS - 1 - place) & 1 for place in range(DATA_BITS)], np.uint8)
    return np.asarray(data @ _generator_matrix() % 2, np.bool_)


def decode(soft: npt.NDArray[np.float64]) -> tuple[Payload, float]:
    """Return the likeliest payload that was tried for 127 soft bits (positive for one, the size its certainty), and how
    well it fits: the correlation of its bits with them, from -1 to 1.

    Raises:
        ValueError: not 127 finite numbers.
    """
    if soft.shape != (RAW_BITS,) or not np.isfinite(soft).all():
        raise ValueError(f"expected {RAW_BITS} finite numbers")
    # In the range of single precision, whatever the unit.
    soft = soft / max(np.finfo(np.float64).tiny, float(np.abs(soft).max()))
    order = np.argsort(-np.abs(soft), kind="stable")
    basis, places = _most_reliable_basis(order)
    ordered = soft[places]
    word = np.asarray((ordered[:DATA_BITS] > 0) @ basis % 2, np.uint8)
    agreement = np.where(word, ordered, -ordered).astype(np.float32)
    best, flipped = float(agreement.sum()), np.zeros(0, np.int64)
    signs = 1 - 2 * basis.astype(np.float32)
    for some, others in _flipped_rows():
        scores = (signs[some].prod(1) * agreement) @ signs[others].prod(1).T
        one, other = np.unravel_index(int(scores.argmax()), scores.shape)
        if scores[one, other] > best:
            best, flipped = float(scores[one, other]), np.concatenate([some[one], others[other]])
    word ^= np.bitwise_xor.reduce(basis[flipped], axis=0)
    data = np.empty(RAW_BITS, np.uint8)
    data[places] = word
    value = int("".join(map(str, data[:DATA_BITS])), 2)
    payload = Payload(value >> TAG_BITS, (value & (1 << TAG_BITS) - 1).to_bytes(TAG_BITS // 8, "big"))
    return payload, min(1.0, best / max(1.0, float(np.linalg.norm(soft)) * RAW_BITS**0.5))


@cache
def _flipped_rows() -> tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], ...]:
    """Two sets of rows to flip for each of :data:`_TRIED`; a row that is in both stays as it is."""
    return tuple(
        (_chosen(at_once // 2, among), _chosen(at_once - at_once // 2, among)) for at_once, among in _TRIED
    )


def _chosen(at_once: int, among: int) -> npt.NDArray[np.int64]:
    rows = list(combinations(range(DATA_BITS - among, DATA_BITS), at_once))
    return np.array(rows, np.int64).reshape(len(rows), at_once)


def _most_reliable_basis(order: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Bring the generator matrix, its columns in the order given, to systematic form at the first 64 columns that are
    independent: the rows [64, 127] and where its columns come from [127]."""
    matrix = _generator_matrix()[:, order].copy()
    pivots: list[int] = []
    for column in range(RAW_BITS):
        row = len(pivots)
        candidates = np.flatnonzero(matrix[row:, column])
        if len(candidates) == 0:
            continue
        matrix[[row, row + candidates[0]]] = matrix[[row + candidates[0], row]]
        others = np.flatnonzero(matrix[:, column])
        matrix[others[others != row]] ^= matrix[row]
        pivots.append(column)
        if len(pivots) == DATA_BITS:
            break
    rest = np.setdiff1d(np.arange(RAW_BITS), pivots)
    columns = np.concatenate([np.array(pivots), rest])
    return matrix[:, columns], order[columns]


def generator_polynomial() -> int:
    """Return the generator of the BCH code (127, 64), bit i the coefficient of x^i."""
    powers = [1]
    for _ in range(RAW_BITS - 1):
        doubled = powers[-1] << 1
        powers.append(doubled ^ _PRIMITIVE if doubled >> _FIELD else doubled)
    log = {value: exponent for exponent, value in enumerate(powers)}
    generator, seen = 1, set[int]()
    for root in range(1, 2 * _CORRECTED + 1):
        conjugates = {root * 2**i % RAW_BITS for i in range(_FIELD)}
        if min(conjugates) in seen:
            continue
        seen.add(min(conjugates))
        # The minimal polynomial: the product of (x + alpha^j); its coefficients come out as 0 and 1.
        coefficients = [1]
        for exponent in sorted(conjugates):
            shifted = [0, *coefficients]
            for place, value in enumerate(coefficients):
                if value:
                    shifted[place] ^= powers[(log[value] + exponent) % RAW_BITS]
            coefficients = shifted
        minimal = sum(value << place for place, value in enumerate(coefficients))
        generator = _times(generator, minimal)
    return generator


def _times(a: int, b: int) -> int:
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = a << 1, b >> 1
    return product


@cache
def _generator_matrix() -> npt.NDArray[np.uint8]:
    generator, parity = generator_polynomial(), RAW_BITS - DATA_BITS
    rows = np.zeros((DATA_BITS, RAW_BITS), np.uint8)
    for place in range(DATA_BITS):
        remainder = 1 << (RAW_BITS - 1 - place)
        for degree in range(RAW_BITS - 1, parity - 1, -1):
            if remainder >> degree & 1:
                remainder ^= generator << (degree - parity)
        rows[place, place] = 1
        rows[place, DATA_BITS:] = [remainder >> (parity - 1 - bit) & 1 for bit in range(parity)]
    rows.setflags(write=False)
    return rows

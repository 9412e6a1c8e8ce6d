"""Parameters of the encryption, under versioned ids that are stored with every key, block and answer.

BGV with a plaintext modulus of 65,537, so that a ciphertext holds one number for each of ``ring`` slots. The library
refuses parameters under 128 bits of security (homomorphicencryption.org's table, classical attacks), except where the
id begins with ``toy``: those are for tests, and they protect nothing. For the figures behind the choice see
``docs/private-lookup.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from provenance.private_lookup.errors import SchemeError

PLAINTEXT_MODULUS = 65537
CODE_LENGTHS = (96, 128, 192, 256)
MAX_TAU = 32
DEFAULT_TAU = 24
# Slots of an entry: one where a ciphertext holds one bit of every entry, or as many as it holds bits of an entry. A
# block of the second kind is small and needs no query taken apart; up to so many blocks it is faster than the first.
ALONE, GROUPED = 1, 32
_MOST_GROUPED_BLOCKS = 16
# What a party may expect of chance at the size of a catalogue before a private answer stops meaning anything.
MOST_FALSE_HITS = 1e-3


@dataclass(frozen=True)
class Scheme:
    """One set of parameters. Keys and ciphertexts of different schemes do not fit together.

    Attributes:
        id: versioned id.
        code_length: bits of a code.
        ring: dimension of the ring, which is the number of slots of a ciphertext.
        depth: products, one after the other, that a ciphertext withstands.
        prime_bits: bits of each prime of the modulus but the two that the flooding noise takes.
        secure: whether the library checks for 128 bits of security; False for toys.
    """

    id: str
    code_length: int
    ring: int
    depth: int
    prime_bits: int
    secure: bool

    @property
    def subring(self) -> int:
        """Coefficients that a query's bits are spread over: the power of two from ``code_length`` up."""
        return 1 << (self.code_length - 1).bit_length()

    @property
    def leaves(self) -> tuple[int, ...]:
        """Coefficients of the subring that hold a query's bits.

        Where only three quarters of them are needed, every fourth one is left out and not the last quarter: taking the
        query apart then leaves out whole branches, and 96 bits take 96 automorphisms and not 127.
        """
        kept = 4 * self.code_length // self.subring
        return tuple(bit % kept + 4 * (bit // kept) for bit in range(self.code_length))

    @property
    def block_bytes(self) -> int:
        """Bytes of a block of entries of one slot, but for the kilobytes around each ciphertext."""
        return self.code_length * 2 * 8 * self.ring * (self.depth + 3)

    @property
    def decrypted_bytes(self) -> int:
        """Bytes of a ciphertext that is decrypted, of the three primes that are left, but for what is around it."""
        return 2 * 8 * self.ring * 3

    @property
    def trace(self) -> tuple[int, ...]:
        """Automorphisms X -> X^k whose sums project the ring onto the subring, in the order of their use."""
        steps, k = [], self.ring
        while k >= 2 * self.subring:
            steps.append(k + 1)
            k //= 2
        return tuple(steps)

    @property
    def expansion(self) -> tuple[int, ...]:
        """Automorphisms that take a query apart into one ciphertext a bit (SealPIR, eprint 2017/1142, section 3.3)."""
        return tuple((self.subring >> step) + 1 for step in range(self.subring.bit_length() - 1))

    @property
    def turns(self) -> tuple[int, ...]:
        """Automorphisms that bring together the slots of a grouped entry.

        A ciphertext's slots are two rows of ``ring / 2``. X -> X^(ring / 2^n + 1) turns both by an odd multiple of
        ``ring / 2^(n + 2)``, X -> X^-1 swaps them.
        """
        return (*((self.ring >> n) + 1 for n in range(GROUPED.bit_length() - 2)), 2 * self.ring - 1)

    @property
    def neighbour(self) -> int:
        """The automorphism that turns both rows by one: tells whether slots side by side are the same."""
        return 5

    @property
    def automorphisms(self) -> tuple[int, ...]:
        """Every automorphism that needs a joint key."""
        return tuple(dict.fromkeys((*self.needed(ALONE), *self.needed(GROUPED))))

    def needed(self, group: int) -> tuple[int, ...]:
        """Return the automorphisms that evaluate blocks of one kind."""
        return self.trace + self.expansion if group == ALONE else (*self.turns, self.neighbour)

    def entries(self, group: int) -> int:
        """Return how many entries a block holds, each of ``group`` slots."""
        return self.ring // group

    def columns(self, group: int) -> int:
        """Return how many ciphertexts a block has; a query of grouped entries has as many, any other has one."""
        return self.code_length // group

    def group_for(self, entries: int) -> int:
        """Return the kind of blocks that a catalogue of so many entries is answered fastest with."""
        return GROUPED if entries <= _MOST_GROUPED_BLOCKS * self.entries(GROUPED) else ALONE


def _secure(length: int, depth: int) -> Scheme:
    return Scheme(f"bgv-v1-{length}", length, ring=32768, depth=depth, prime_bits=50, secure=True)


def _toy(length: int, depth: int) -> Scheme:
    ring = 256 if length <= 128 else 512
    return Scheme(f"toy-bgv-v1-{length}", length, ring=ring, depth=depth, prime_bits=50, secure=False)


# Longer codes have more distances to tell apart, and their polynomials need one more product.
_DEPTHS = {96: 8, 128: 8, 192: 9, 256: 9}
SCHEMES: dict[str, Scheme] = {
    scheme.id: scheme
    for make in (_secure, _toy)
    for scheme in (make(length, depth) for length, depth in _DEPTHS.items())
}


class Mode(StrEnum):
    """How a catalogue is kept: encrypted under a joint key, or in shares on three servers."""

    ENCRYPTED = "encrypted"
    SHARES = "shares"


# Shares have no parameters but the length of a code.
SHARES: dict[str, int] = {f"shares-v1-{length}": length for length in CODE_LENGTHS}
SHARE_SERVERS = 3


def scheme(name: str) -> Scheme:
    """Return the scheme of an id.

    Raises:
        SchemeError: there is none.
    """
    try:
        return SCHEMES[name]
    except KeyError as problem:
        raise SchemeError(f"There is no scheme {name}. There are: {', '.join(SCHEMES)}.") from problem


def scheme_for(code_length: int) -> Scheme:
    """Return the scheme for codes of so many bits, of 128 bits of security.

    Raises:
        SchemeError: there is none.
    """
    if code_length not in CODE_LENGTHS:
        raise SchemeError(f"Codes of {code_length} bits are not looked up privately. Choose one of {CODE_LENGTHS}.")
    return SCHEMES[f"bgv-v1-{code_length}"]


def shares_for(code_length: int) -> str:
    """Return the id of shares of codes of so many bits.

    Raises:
        SchemeError: there is none.
    """
    found = {length: name for name, length in SHARES.items()}.get(code_length)
    if found is None:
        raise SchemeError(f"Codes of {code_length} bits are not looked up privately. Choose one of {CODE_LENGTHS}.")
    return found


def check_tau(tau: int) -> None:
    """Refuse a threshold that is not offered.

    Raises:
        SchemeError: ``tau`` is not 0..32.
    """
    if not 0 <= tau <= MAX_TAU:
        raise SchemeError(f"A threshold of {tau} bits is not offered: choose 0 to {MAX_TAU}.")


def expected_false_hits(rate: float, entries: int) -> float:
    """Return how many of ``entries`` match a picture that is in none of them, by chance, a query.

    Args:
        rate: share of pairs of different pictures within the threshold, 0..1, measured. An encrypted answer has no
            verification behind it, so nothing corrects this figure.
    """
    if not 0 <= rate <= 1 or entries < 0:
        raise ValueError(f"a rate of {rate} and {entries} entries")
    return rate * entries


def largest_tau(rates: Sequence[float], entries: int, most: float = MOST_FALSE_HITS) -> int | None:
    """Return the largest offered threshold with no more false hits a query than ``most``; None where there is none.

    Args:
        rates: measured share of pairs of different pictures within each distance 0, 1, 2 and on.
    """
    allowed = [tau for tau, rate in enumerate(rates[: MAX_TAU + 1]) if expected_false_hits(rate, entries) <= most]
    return allowed[-1] if allowed else None

"""What three servers compute together without reading what they compute on: replicated secret sharing.

A value is the sum, or for bits the XOR, of three *components* 0, 1, 2, each random by itself. Server i has components i
and i + 1 (all places modulo 3), so that any two servers have all three and one alone has nothing. Sums are local; a
product takes one message from each server to the one before it, covered by numbers that add up to nothing and that two
servers each draw from a key they share (Araki et al., CCS 2016, eprint 2016/768). Numbers are modulo 2^16, and are
compared by the carries of a binary adder (as in ABY3, Mohassel and Rindal, CCS 2018, eprint 2018/403).

The servers are taken to follow this program; one that only looks on, even together with clients, learns nothing but
what those clients are told: what a client copies from another's question does not open (see ``question``). One that
lies can make answers wrong. Two that look on together read everything.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

Array = npt.NDArray[Any]
# What a server has of a value: its own component and the next one.
Pair = tuple[Array, Array]

# Entries whose sums stay in the processor's cache.
_CHUNK = 1 << 14
# Bits of an answer to "does anything match": one is missed with a chance of 2^-64.
ANSWER_BITS = 64
_WORD = 64
_OWN, _NEXT = 0, 1


class Link(Protocol):
    """The two neighbours: what is sent goes to the one before, what is received comes from the one after."""

    def send(self, data: bytes) -> None:
        """Send. Raises KeyholderUnreachable."""

    def receive(self, size: int) -> bytes:
        """Return the next message. Raises BadInput where it has another size, KeyholderUnreachable where none comes."""


def margin_bits(code_length: int, tau: int) -> int:
    """Return how many bits hold ``tau`` - distance with its sign for every distance 0..``code_length``."""
    return max((code_length - tau - 1).bit_length(), tau.bit_length()) + 1


def words_of(entries: int) -> int:
    """Return how many 64-bit words a bit of each entry takes."""
    return -(-entries // _WORD)


def packed(bits: npt.NDArray[np.bool_]) -> Array:
    """Pack bool ``[n]`` into uint64 ``[words_of(n)]``, the first in the lowest bit, zeros at the end."""
    data = np.packbits(bits, bitorder="little")
    words: Array = np.pad(data, (0, -len(data) % 8)).view("<u8")
    return words


def unpacked(words: Array, count: int) -> npt.NDArray[np.bool_]:
    """Return the first ``count`` bits of what :func:`packed` returned."""
    return np.unpackbits(words.view(np.uint8), count=count, bitorder="little").astype(bool)


class Computation:
    """One server's part in one computation.

    Args:
        place: 0, 1 or 2.
        keys: 32 bytes each; the first is shared with the server before, the second with the one after.
        about: what is computed on, 32 bytes. Under the same keys it may never come again with other values.
        link: to the neighbours.
    """

    def __init__(self, place: int, keys: tuple[bytes, bytes], about: bytes, link: Link) -> None:
        self.place = place
        self._keys = keys
        self._about = about
        self._link = link

    def to_numbers(self, bits: Pair) -> Pair:
        """Turn bits, shared by XOR, into numbers 0 and 1, shared as sums. Two rounds.

        Whatever was shared, nothing but 0 and 1 can come out.

        Args:
            bits: uint8, 0 and 1, of any shape.

        Returns:
            uint16 of the same shape.
        """
        first, last = (component.astype(np.uint16) for component in bits)
        shape, nothing = first.shape, np.zeros_like(first)
        # A bit is u XOR v = u + v - 2uv: server 0 knows u, components 0 and 1 together, and the others v, component 2.
        if self.place == 0:
            mask = self._common(_NEXT, "u", shape, "<u2")
            u, v = ((first ^ last) - mask, mask), (nothing, nothing)
            self._link.send(u[0].tobytes())
            product = nothing
        elif self.place == 1:
            u, v = (self._common(_OWN, "u", shape, "<u2"), nothing), (nothing, last)
            product = u[0] * last
        else:
            u, v = (nothing, self._receive(shape, "<u2")), (first, nothing)
            product = u[1] * first
        both = self._reshare(product + self._zero_sum("uv", shape))
        return u[0] + v[0] - 2 * both[0], u[1] + v[1] - 2 * both[1]

    def margins(self, entries: Pair, ones: Array, query: Pair, tau: int) -> Array:
        """Return shares of ``tau`` - distance of each entry. No rounds.

        Args:
            entries: uint16 ``[length, n]``, shares of 0 and 1.
            ones: uint16 ``[n]``: this server's own component of how many bits of each entry are 1.
            query: uint16 ``[length]``.

        Returns:
            uint16 ``[n]``; those of the three servers add up to the margins.
        """
        # distance = (ones of the query) + (ones of the entry) - 2 * (ones of both)
        twice = 2 * (query[0] + query[1]), 2 * query[0]
        start = (tau if self.place == 0 else 0) - int(query[0].sum(dtype=np.uint16))
        found: Array = self._zero_sum("margins", ones.shape) + np.uint16(start % (1 << 16)) - ones
        term = np.empty(_CHUNK, np.uint16)
        for begin in range(0, len(found), _CHUNK):
            end = min(begin + _CHUNK, len(found))
            into, spare = found[begin:end], term[: end - begin]
            for component, factors in zip(entries, twice, strict=True):
                for row, factor in zip(component, factors, strict=True):
                    np.multiply(row[begin:end], factor, out=spare)
                    into += spare
        return found

    def within(self, margins: Array, bits: int) -> Pair:
        """Return shares of whether each margin is 0 or more. Six rounds.

        Args:
            margins: as :meth:`margins` returned them.
            bits: how many hold a margin; see :func:`margin_bits`.

        Returns:
            uint64 ``[words_of(n)]``, packed; what is after the last entry means nothing.
        """
        # Server 0 learns the sum of two components, which the third hides; the others have the third.
        narrow = "<u1" if bits <= 8 else "<u2"
        mine = (margins & np.uint16((1 << bits) - 1)).astype(narrow)
        shape = (bits, words_of(len(margins)))
        nothing = np.zeros(shape, "<u8")
        a: Pair
        b: Pair
        if self.place == 0:
            mask = self._common(_NEXT, "a", shape, "<u8")
            a = _planes(mine + self._receive(mine.shape, narrow), bits) ^ mask, mask
            self._link.send(a[0].tobytes())
            b = self._common(_OWN, "b", shape, "<u8"), nothing
        elif self.place == 1:
            self._link.send(mine.tobytes())
            a = self._common(_OWN, "a", shape, "<u8"), nothing
            b = nothing, self._receive(shape, "<u8")
        else:
            mask = self._common(_NEXT, "b", shape, "<u8")
            b = _planes(mine, bits) ^ mask, mask
            self._link.send(b[0].tobytes())
            a = nothing, self._receive(shape, "<u8")
        apart = _xor(a, b)
        carry = self._carry(_rows(a, slice(0, bits - 1)), _rows(b, slice(0, bits - 1)), apart)
        return self._invert(_xor(_rows(apart, bits - 1), carry))

    def any_of(self, bits: Pair) -> Array:
        """Return shares of a number that is 0 if no bit is 1, and otherwise, but for a chance of 2^-64, is not.

        It is the product of the bits with a random matrix that nobody knows, so that one that is not 0 is any number
        but 0 with the same chance, however many bits are 1 and whichever. No rounds.

        Args:
            bits: uint64 ``[words]``.

        Returns:
            uint64 ``[1]``; those of the three servers are XORed.
        """
        own, other = self._stream(_OWN, "matrix"), self._stream(_NEXT, "matrix")
        both, size = bits[0] ^ bits[1], bits[0].nbytes
        parities = np.empty(ANSWER_BITS, bool)
        for number in range(ANSWER_BITS):
            terms = np.frombuffer(own(size), "<u8") & both
            terms ^= np.frombuffer(other(size), "<u8") & bits[0]
            parities[number] = int(np.bitwise_xor.reduce(terms, initial=0)).bit_count() & 1
        return packed(parities) ^ self._zero_xor("any", (1,))

    def each_of(self, bits: Pair) -> Array:
        """Return shares of the bits, one component a server, drawn anew: XORed they are the bits. No rounds."""
        found: Array = bits[0] ^ self._zero_xor("each", bits[0].shape)
        return found

    def gather(self, flags: bytes) -> bytes:
        """Return which flags any server has set; of one length for all. Two rounds. For what is no secret."""
        found = passed = flags
        for _round in range(2):
            self._link.send(passed)
            passed = self._link.receive(len(flags))
            found = bytes(a | b for a, b in zip(found, passed, strict=True))
        return found

    def _carry(self, a: Pair, b: Pair, apart: Pair) -> Pair:
        """Return the carry out of the sum of two numbers, given as planes of bits, the lowest first.

        Neighbouring groups of bits are joined, all at once, until one is left (Sklansky's tree without what only the
        other bits of the sum need): a group makes a carry, or passes one on.
        """
        makes, passes = self._and(a, b, "and"), apart
        round_ = 0
        while (groups := len(makes[0])) > 1:
            pairs = groups // 2
            upper, lower = slice(1, 2 * pairs, 2), slice(0, 2 * pairs, 2)
            # Nothing comes into the lowest group, so whether it passes anything on is not needed.
            joined = self._and(
                _concatenated(_rows(passes, upper), _rows(passes, slice(3, 2 * pairs, 2))),
                _concatenated(_rows(makes, lower), _rows(passes, slice(2, 2 * pairs, 2))),
                f"carry {round_}",
            )
            rest = slice(2 * pairs, groups)
            made = _xor(_rows(makes, upper), _rows(joined, slice(0, pairs)))
            passes = _concatenated(_rows(passes, slice(0, 1)), _rows(joined, slice(pairs, None)), _rows(passes, rest))
            makes = _concatenated(made, _rows(makes, rest))
            round_ += 1
        return _rows(makes, 0)

    def _and(self, x: Pair, y: Pair, what: str) -> Pair:
        mine = (x[0] & (y[0] ^ y[1])) ^ (x[1] & y[0])
        return self._reshare(mine ^ self._zero_xor(what, mine.shape))

    def _invert(self, bits: Pair) -> Pair:
        """Return the opposite bits: component 0 is inverted wherever it is."""
        return (~bits[0], bits[1]) if self.place == 0 else (bits[0], ~bits[1]) if self.place == 2 else bits

    def _reshare(self, mine: Array) -> Pair:
        """Make components of three terms: the own one goes to the server before, the next one comes from the other."""
        self._link.send(mine.tobytes())
        return mine, self._receive(mine.shape, mine.dtype)

    def _receive(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(self._link.receive(size), dtype).reshape(shape)

    def _zero_sum(self, what: str, shape: tuple[int, ...]) -> Array:
        found: Array = self._common(_OWN, what, shape, "<u2") - self._common(_NEXT, what, shape, "<u2")
        return found

    def _zero_xor(self, what: str, shape: tuple[int, ...]) -> Array:
        found: Array = self._common(_OWN, what, shape, "<u8") ^ self._common(_NEXT, what, shape, "<u8")
        return found

    def _common(self, whose: int, what: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return random numbers that one neighbour has too: the one before (_OWN) or the one after (_NEXT)."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(self._stream(whose, what)(size), dtype).reshape(shape)

    def _stream(self, whose: int, what: str) -> Callable[[int], bytes]:
        """Return a source of such numbers: AES-256 in counter mode, under a key for nothing else."""
        key = hmac.digest(self._keys[whose], self._about + what.encode(), "sha256")
        cipher = Cipher(AES(key), CTR(bytes(16))).encryptor()
        return lambda size: cipher.update(bytes(size))


def _planes(numbers: Array, bits: int) -> Array:
    """Return uint64 ``[bits, words]``: the lowest bit of all numbers, the next of all, and on."""
    return np.stack([packed((numbers & numbers.dtype.type(1 << bit)) != 0) for bit in range(bits)])


def _rows(pair: Pair, rows: slice | int) -> Pair:
    return pair[0][rows], pair[1][rows]


def _xor(x: Pair, y: Pair) -> Pair:
    return x[0] ^ y[0], x[1] ^ y[1]


def _concatenated(*pairs: Pair) -> Pair:
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])

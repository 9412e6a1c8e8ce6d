"""The polynomials that turn a similarity into an answer, as programs that any ring of numbers can run.

Bits are +1 and -1, so that a query and an entry have the inner product s = length - 2 * distance. The two policies:

- ``bit``: zero for every distance above the threshold, not zero within it. Sums of it, weighted at random, tell whether
  anything matches.
- ``who``: zero for every distance within the threshold, not zero above it. Each slot tells of its own entry.

Where an entry has many slots, all with the same s, they share the work; see :class:`Spread`.

Both are products of (s - root) over evenly spaced roots. Around their middle c they are even, so with y = (s - c)^2
half the degree is left: the product of (y - (2i - 1)^2) for i = 1..m. Where the number of roots is odd, one that no
distance can reach is added. The rest is Paterson and Stockmeyer's method (SIAM J. Comput. 2 (1), 1973). An empty slot
has s = 0, the distance length / 2, which is above every threshold offered.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from provenance.private_lookup.errors import SchemeError
from provenance.private_lookup.scheme import CODE_LENGTHS, PLAINTEXT_MODULUS, check_tau

# One line of a program: the operation and its arguments. A line's value is known by the line's number, from 1 on; 0 is
# the input. ``shift`` and ``scale`` take a value and a number, ``add`` two values, ``multiply`` two values, ``fuse``
# three: a * b + c.
Line = tuple[str, int, int] | tuple[str, int, int, int]
_PRODUCTS = ("multiply", "fuse")
_MOST_BABY_STEPS = 16
# Writes a line and returns its number.
_Write = Callable[..., int]
# A part of a polynomial: a value, None where there is none, and a number that is still to be added.
_Part = tuple[int | None, int]


class Policy(StrEnum):
    """What a query asks: whether anything matches, or which entries do."""

    BIT = "bit"
    WHO = "who"


@dataclass(frozen=True)
class Circuit:
    """A polynomial of the similarity s, modulo 65,537.

    Attributes:
        policy: what it answers.
        code_length: bits of a code.
        tau: the largest distance that matches.
        program: straight-line program; its last line is the result.
    """

    policy: Policy
    code_length: int
    tau: int
    program: tuple[Line, ...]

    @property
    def products(self) -> int:
        """Products of two values: what takes the time."""
        return sum(line[0] in _PRODUCTS for line in self.program)

    @property
    def depth(self) -> int:
        """Products one after the other: what takes the modulus."""
        depths = [0]
        for name, *arguments in self.program:
            used = arguments[:1] if name in ("shift", "scale") else arguments[:2]
            deepest = max(depths[value] for value in used)
            if name in _PRODUCTS:
                deepest += 1
            if name == "fuse":
                deepest = max(deepest, depths[arguments[2]])
            depths.append(deepest)
        return depths[-1]

    @property
    def digest(self) -> str:
        """SHA-256 of everything that determines the answer, 64 hex digits."""
        said = [str(self.policy), self.code_length, self.tau, self.program]
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()

    def __call__(self, similarities: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the polynomial's values.

        Args:
            similarities: whole numbers of any shape.

        Returns:
            int64 of the same shape, 0..65,536.
        """
        values = [np.asarray(similarities, dtype=np.int64) % PLAINTEXT_MODULUS]
        for name, *numbers in self.program:
            first = values[numbers[0]]
            match name:
                case "shift":
                    value = first + numbers[1]
                case "scale":
                    value = first * numbers[1]
                case "add":
                    value = first + values[numbers[1]]
                case "multiply":
                    value = first * values[numbers[1]]
                case _:
                    value = first * values[numbers[1]] + values[numbers[2]]
            values.append(value % PLAINTEXT_MODULUS)
        return values[-1]


@cache
def compile_circuit(policy: Policy, code_length: int, tau: int) -> Circuit:
    """Return the circuit of a policy: of the least depth, and of those of the fewest products.

    Raises:
        SchemeError: the length or the threshold is not offered.
    """
    pairs, middle = _zeros(policy, code_length, tau)
    coefficients = _coefficients(pairs)
    offered = (
        Circuit(policy, code_length, tau, _program(middle, coefficients, baby))
        for baby in range(1, min(_MOST_BABY_STEPS, pairs) + 1)
    )
    return min(offered, key=lambda circuit: (circuit.depth, circuit.products))


@dataclass(frozen=True)
class Spread:
    """The same polynomial where an entry has several slots: each multiplies some factors, then they are multiplied.

    With y = (s - middle)^2, a slot multiplies (y - root) over one row of ``roots``. Each of the ``folds`` then
    multiplies every slot by another one, so that in the end each has the product of all. Where there are fewer roots
    than places, the last one fills them, which adds no other zero.

    Attributes:
        middle: c above.
        roots: of y, ``[2^folds][a few]``.
        folds: how often slots are multiplied by each other.
    """

    middle: int
    roots: tuple[tuple[int, ...], ...]
    folds: int

    @property
    def depth(self) -> int:
        """Products one after the other."""
        return 1 + (len(self.roots[0]) - 1).bit_length() + self.folds

    @property
    def cost(self) -> int:
        """Key switches, each times the primes that it works on: what the time goes with."""
        primes = 3 + self.depth
        # Six rotations and a relinearisation bring the similarity about.
        total, left = 7 * primes, len(self.roots[0])
        total += primes
        primes -= 1
        while left > 1:
            total += left // 2 * primes
            left -= left // 2
            primes -= 1
        return total + sum(2 * (primes - fold) for fold in range(self.folds))

    def __call__(self, similarities: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the polynomial's values, as :class:`Circuit` does."""
        y = (np.asarray(similarities, dtype=np.int64) - self.middle) ** 2 % PLAINTEXT_MODULUS
        product = np.ones_like(y)
        for root in (root for some in self.roots for root in some):
            product = product * (y - root) % PLAINTEXT_MODULUS
        return product


@cache
def spread_circuit(policy: Policy, code_length: int, tau: int, group: int) -> Spread:
    """Return the cheapest circuit for entries of ``group`` slots, a power of two.

    Raises:
        SchemeError: the length or the threshold is not offered.
    """
    pairs, middle = _zeros(policy, code_length, tau)
    offered = []
    for folds in range(group.bit_length()):
        places = -(-pairs // (1 << folds)) << folds
        roots = [(2 * min(i, pairs) - 1) ** 2 % PLAINTEXT_MODULUS for i in range(1, places + 1)]
        offered.append(Spread(middle, tuple(tuple(roots[n :: 1 << folds]) for n in range(1 << folds)), folds))
    return min(offered, key=lambda one: (one.depth, one.cost))


def _zeros(policy: Policy, code_length: int, tau: int) -> tuple[int, int]:
    """Return how many pairs of similarities are zeros, and their middle."""
    check_tau(tau)
    if code_length not in CODE_LENGTHS:
        raise SchemeError(f"There is no circuit for codes of {code_length} bits. Choose one of {CODE_LENGTHS}.")
    if policy is Policy.BIT:
        pairs = (code_length - tau + 1) // 2
        return pairs, code_length - 2 * (tau + 1) - (2 * pairs - 1)
    pairs = (tau + 2) // 2
    return pairs, code_length - 2 * tau + (2 * pairs - 1)


def _coefficients(pairs: int) -> list[int]:
    """Return the coefficients of the product of (y - (2i - 1)^2) for i = 1..pairs, the constant first, modulo t."""
    found = [1]
    for i in range(1, pairs + 1):
        root = (2 * i - 1) ** 2
        lower = [-root * value for value in found] + [0]
        found = [(a + b) % PLAINTEXT_MODULUS for a, b in zip([0, *found], lower, strict=True)]
    return found


def _program(middle: int, coefficients: list[int], baby: int) -> tuple[Line, ...]:
    lines: list[Line] = []

    def line(*parts: Any) -> int:
        lines.append(parts)
        return len(lines)

    shifted = line("shift", 0, -middle)
    powers = {1: line("multiply", shifted, shifted)}
    for exponent in range(2, baby + 1):
        powers[exponent] = line("multiply", powers[exponent // 2], powers[exponent - exponent // 2])
    chunks = [_chunk(line, coefficients[start : start + baby], powers) for start in range(0, len(coefficients), baby)]
    giant = powers[baby]
    while len(chunks) > 1:
        merged = []
        for place in range(0, len(chunks), 2):
            low, *high = chunks[place : place + 2]
            merged.append(_merge(line, low, high[0], giant) if high else low)
        chunks = merged
        if len(chunks) > 1:
            giant = line("multiply", giant, giant)
    value, constant = chunks[0]
    if value is None:
        raise SchemeError("A constant is no circuit.")
    line("shift", value, constant)
    return tuple(lines)


def _chunk(line: _Write, coefficients: list[int], powers: dict[int, int]) -> _Part:
    value = None
    for exponent in range(len(coefficients) - 1, 0, -1):
        if coefficients[exponent]:
            one = coefficients[exponent] == 1
            term = powers[exponent] if one else line("scale", powers[exponent], _centred(coefficients[exponent]))
            value = term if value is None else line("add", value, term)
    return value, _centred(coefficients[0])


def _merge(line: _Write, low: _Part, high: _Part, giant: int) -> _Part:
    """Return high * giant + low."""
    value, constant = high
    if value is None and not constant:
        return low
    if value is None:
        product = giant if constant == 1 else line("scale", giant, constant)
        return (product if low[0] is None else line("add", product, low[0])), low[1]
    if constant:
        value = line("shift", value, constant)
    if low[0] is None:
        return line("multiply", value, giant), low[1]
    return line("fuse", value, giant, low[0]), low[1]


def _centred(number: int) -> int:
    number %= PLAINTEXT_MODULUS
    return number - PLAINTEXT_MODULUS if number > PLAINTEXT_MODULUS // 2 else number

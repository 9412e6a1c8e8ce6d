"""What OpenFHE does for a private look-up: keys in shares, codes to ciphertexts, ciphertexts to an answer.

Runs in the engine's process alone, under an interpreter that has OpenFHE; of the package it may import only what says
so. Bytes are OpenFHE's binary serialisation. What is computed from bytes has the same bytes in every process that
computes it; parties that check each other rely on that. Everything is decrypted at the level ``depth``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import openfhe

from provenance.private_lookup.bgv_base import (
    MODULUS,
    KeyShares,
    Malformed,
    Numbers,
    any_numbers,
    centred,
    non_zero,
    read,
    to_bytes,
)

# Shares that are drowned in noise need three primes to be left (OpenFHE, rns-multiparty.cpp).
_PRIMES_TO_DECRYPT = 3
_WORD = 8
# Parameters are serialised with every ciphertext; less than one prime's numbers at full parameters.
_MOST_AROUND_NUMBERS = 1 << 15


class Bgv(KeyShares):
    """A context for one scheme and one set of joint keys, whose shares :class:`KeyShares` makes.

    Args:
        settings: the fields of ``scheme.Scheme`` with ``subring``, ``trace`` and ``expansion``, and ``parties``, the
            number of key shares, and ``tag``, which names the joint keys.

    Raises:
        RuntimeError: OpenFHE refuses the parameters, such as for less than 128 bits of security.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.depth: int = settings["depth"]
        self.length: int = settings["code_length"]
        self.subring: int = settings["subring"]
        self._trace: list[int] = settings["trace"]
        self._expansion: list[int] = settings["expansion"]
        self._monomials = [self._monomial(step) for step in range(len(self._expansion))]
        self._constants: dict[tuple[int, int], Any] = {}

    # Codes to ciphertexts.

    def encrypt_query(self, public: Any, bits: npt.NDArray[np.uint8], group: int = 1) -> list[bytes]:
        """Return the ciphertexts of one code, uint8 ``[length]`` of 0 and 1.

        Args:
            group: slots of an entry. Where it is 1, there is one ciphertext, with the bits in the coefficients of the
                subring; else each has so many bits in its slots, as the catalogue's have, for every entry the same.
        """
        if group > 1:
            signs = (2 * bits.astype(np.int64) - 1).reshape(-1, group)
            runs = [self.slots(np.repeat(some, self.ring // group)) for some in signs]
            return [to_bytes(self.context.Encrypt(public, run)) for run in runs]
        stride = self.ring // self.subring
        # Trace and expansion multiply by the ring's dimension; it is taken out here.
        scale = pow(self.ring, -1, MODULUS)
        coefficients = np.zeros(self.ring, np.int64)
        coefficients[: self.length * stride : stride] = (2 * bits.astype(np.int64) - 1) * scale
        return [to_bytes(self.context.Encrypt(public, self._coefficients(coefficients)))]

    def encrypt_rows(
        self,
        public: Any,
        bits: npt.NDArray[np.uint8],
        group: int = 1,
        offset: int = 0,
        base: Iterable[Any] | None = None,
    ) -> Iterator[bytes]:
        """Return the ciphertexts of a block, one for each ``group`` bits of the code.

        A ciphertext's slots are ``group`` runs, each of the block's entries in their order: a run holds one bit of all.

        Args:
            bits: uint8 ``[n, length]`` of 0 and 1, offset + n <= ring / group; other slots stay empty.
            offset: place of the first row.
            base: a block's ciphertexts that are added.
        """
        signs = 2 * bits.astype(np.int64) - 1
        below = repeat(None) if base is None else base
        for columns, under in zip(signs.T.reshape(-1, group, len(bits)), below, strict=False):
            runs = np.zeros((group, self.ring // group), np.int64)
            runs[:, offset : offset + len(bits)] = columns
            made = self.context.Encrypt(public, self.slots(runs.ravel()))
            yield to_bytes(made if under is None else self.context.EvalAdd(made, under))

    def fresh(self, data: bytes) -> Any:
        """Read a ciphertext as encryption makes it.

        Raises:
            Malformed: it has another form, other parameters or other keys.
        """
        found = self._ciphertext(data, level=0)
        # What the sender called the encoding says nothing of what is in the ciphertext.
        found.SetEncodingType(openfhe.PACKED_ENCODING)
        return found

    # Evaluation.

    def expand(self, query: Any, keys: dict[int, Any]) -> list[Any]:
        """Take a query apart into one ciphertext for each bit, the same value in every slot.

        What is not a constant in each slot cannot come out, whatever was sent: the trace removes it.
        """
        context = self.context
        query.SetEncodingType(openfhe.COEF_PACKED_ENCODING)
        for index in self._trace:
            query = context.EvalAdd(query, context.EvalAutomorphism(query, index, keys[index]))
        current = {0: query}
        for step, index in enumerate(self._expansion):
            following = {}
            for place, value in current.items():
                turned = context.EvalAutomorphism(value, index, keys[index])
                following[place] = context.EvalAdd(value, turned)
                other = place + (1 << step)
                if other < self.length:
                    product = context.EvalMult(context.EvalSub(value, turned), self._monomials[step])
                    product.SetNoiseScaleDeg(1)
                    following[other] = product
            current = following
        bits = [current[place] for place in range(self.length)]
        for bit in bits:
            bit.SetEncodingType(openfhe.PACKED_ENCODING)
        return bits

    def evaluate(
        self,
        query: Sequence[Any],
        block: Sequence[Any],
        *,
        polynomial: Callable[[Any], Any],
        used: int,
        alive: npt.NDArray[np.bool_],
        seed: bytes,
        who: bool,
    ) -> bytes:
        """Return one ciphertext for one block: the circuit of each slot's similarity, times a random mask.

        Args:
            query: what :meth:`expand` returned, or the ciphertexts of a query of grouped entries.
            block: the block's ciphertexts.
            polynomial: turns the slots' products, added, into the circuit's value; see :meth:`alone`.
            used: levels that the whole takes.
            alive: bool ``[ring]``: slots that hold an entry that was not deleted; of a grouped entry, the first.
            seed: what the masks are drawn from.
            who: whether slots are read one by one, so that those without an entry must not be zero.
        """
        total = None
        for bit, column in zip(query, block, strict=True):
            product = self.context.EvalMultNoRelin(bit, column)
            if total is None:
                total = product
            else:
                self.context.EvalAddInPlace(total, product)
        # To give up levels once costs less than to do it for every factor, and key switching less below.
        total = self.drop(self._down(total, self.depth - used))
        self.context.RelinearizeInPlace(total)
        value = polynomial(total)
        masks = non_zero(seed + b"mask", self.ring) * alive
        value = self._times(value, self.slots(masks, value.GetLevel()))
        if who:
            dead = non_zero(seed + b"dead", self.ring) * ~alive
            value = self.context.EvalAdd(value, self.slots(dead, value.GetLevel()))
            value = self.drop(value)
        return to_bytes(value)

    def check(
        self,
        columns: Sequence[Any],
        used: npt.NDArray[np.bool_],
        seed: bytes,
        differences: Callable[[Sequence[Any]], Iterable[tuple[Any, Numbers]]] | None = None,
    ) -> bytes:
        """Return a ciphertext that decrypts to zeros if, and but for 1 in 65,537 a slot only if, all is well-formed.

        Well-formed: +1 or -1 in every used slot of every ciphertext, 0 in the others; random combinations of the
        squares tell.

        Args:
            columns: an expanded query, a query of grouped entries, or a block's ciphertexts.
            used: bool ``[ring]``.
            differences: makes ciphertexts that must be zero of the columns, and where: int64 ``[ring]`` of 0 and 1.
        """
        start = self.depth - 2
        total, expected = None, np.zeros(self.ring, np.int64)
        lowered = [self._down(column, start) for column in columns]
        for number, value in enumerate(lowered):
            weights = non_zero(seed + b"check" + number.to_bytes(2, "big"), self.ring)
            expected -= weights * used
            square = self._times(self.context.EvalMultNoRelin(value, value), self.slots(weights, start))
            if total is None:
                total = square
            else:
                self.context.EvalAddInPlace(total, square)
        self.context.RelinearizeInPlace(total)
        total = self.context.EvalAdd(total, self.slots(expected, start))
        for number, (difference, where) in enumerate(differences(lowered) if differences else ()):
            weights = non_zero(seed + b"differences" + number.to_bytes(2, "big"), self.ring)
            total = self.context.EvalAdd(total, self._times(difference, self.slots(weights * where, start)))
        return to_bytes(self.drop(self.drop(total)))

    def add(self, ciphertexts: Sequence[bytes]) -> bytes:
        """Return the sum of evaluated ciphertexts."""
        total = self._evaluated(ciphertexts[0])
        for data in ciphertexts[1:]:
            self.context.EvalAddInPlace(total, self._evaluated(data))
        return to_bytes(total)

    # Decryption.

    def share_decryption(
        self, secret: bytes, ciphertext: bytes, *, lead: bool, mode: str, common: bytes, own: bytes
    ) -> bytes:
        """Return a party's share of a decryption, drowned in noise.

        Args:
            lead: whether this is the first party.
            mode: ``check``: all slots as they are. ``bit``: the first coefficient times a random number, the others
                covered. ``who``: each slot times a random number. None of these is ever zero.
            common: what the random factors are drawn from: known to all parties, and to nobody else.
            own: what the cover is drawn from, of this party alone.
        """
        key, value = read("PrivateKey", secret), self._evaluated(ciphertext)
        if mode == "bit":
            value.SetEncodingType(openfhe.COEF_PACKED_ENCODING)
            factor = np.zeros(self.ring, np.int64)
            factor[0] = non_zero(common + b"factor", 1)[0]
            value = self._times(value, self._coefficients(factor, value.GetLevel()))
        else:
            value.SetEncodingType(openfhe.PACKED_ENCODING)
            if mode == "who":
                value = self._times(value, self.slots(non_zero(common + b"factor", self.ring), value.GetLevel()))
        share = self.context.MultipartyDecryptLead if lead else self.context.MultipartyDecryptMain
        (made,) = share([value], key)
        if mode == "bit":
            cover = any_numbers(own + b"cover", self.ring)
            cover[0] = 0
            made = self.context.EvalAdd(made, self._coefficients(cover, made.GetLevel()))
        return to_bytes(made)

    def fuse(self, shares: Sequence[bytes]) -> Numbers:
        """Return what the shares of all parties decrypt to: int64 ``[ring]``, 0..65,536, slots or coefficients."""
        read = [self._ciphertext(share, level=self.depth, elements=1) for share in shares]
        plain = self.context.MultipartyDecryptFusion(read)
        plain.SetLength(self.ring)
        in_slots = plain.GetEncodingType() == openfhe.PACKED_ENCODING
        values = plain.GetPackedValue() if in_slots else plain.GetCoefPackedValue()
        return np.array(values, np.int64) % MODULUS

    # Below, plain things that the above is made of.

    def _evaluated(self, data: bytes) -> Any:
        return self._ciphertext(data, level=self.depth)

    def _ciphertext(self, data: bytes, *, level: int, elements: int = 2) -> Any:
        found = read("Ciphertext", data)
        if found.GetKeyTag() != self.tag:
            raise Malformed("a ciphertext under other keys")
        if found.GetCryptoContext() != self.context:
            raise Malformed("a ciphertext of other parameters")
        if found.GetLevel() != level or found.NumberCiphertextElements() != elements:
            raise Malformed("a ciphertext of another level or form")
        primes = self.depth + _PRIMES_TO_DECRYPT - level
        if not 0 <= len(data) - _WORD * elements * primes * self.ring < _MOST_AROUND_NUMBERS:
            raise Malformed("a ciphertext of another size")
        found.SetNoiseScaleDeg(1)
        return found

    def alone(self, program: Sequence[Sequence[Any]], value: Any) -> Any:
        """Run the program of a ``circuit.Circuit`` on the similarities of entries of one slot."""
        values = [value]
        for name, *numbers in program:
            first = values[numbers[0]]
            if name == "shift":
                made = self.context.EvalAdd(first, self._constant(numbers[1], first.GetLevel()))
            elif name == "scale":
                made = self._times(first, self._constant(numbers[1], first.GetLevel()))
            elif name == "add":
                made = self.context.EvalAdd(*self.level(first, values[numbers[1]]))
            elif name == "multiply" and numbers[0] == numbers[1]:
                made = self.drop(self.context.EvalSquare(first))
            elif name == "multiply":
                made = self.drop(self.context.EvalMult(*self.level(first, values[numbers[1]])))
            elif name == "fuse":
                product = self.context.EvalMult(*self.level(first, values[numbers[1]]))
                product.SetNoiseScaleDeg(1)
                made = self.drop(self.context.EvalAdd(*self.level(product, values[numbers[2]])))
            else:
                raise Malformed(f"no operation {name}")
            values.append(made)
        return values[-1]

    def _times(self, value: Any, plain: Any) -> Any:
        product = self.context.EvalMult(value, plain)
        product.SetNoiseScaleDeg(1)
        return product

    def drop(self, value: Any) -> Any:
        """Give up a prime, which divides the noise by it."""
        value = self.context.ModReduce(value)
        value.SetNoiseScaleDeg(1)
        return value

    def _down(self, value: Any, level: int) -> Any:
        steps = level - value.GetLevel()
        return self.context.LevelReduce(value, None, steps) if steps > 0 else value

    def level(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Bring two ciphertexts to the lower one's level."""
        level = max(a.GetLevel(), b.GetLevel())
        return self._down(a, level), self._down(b, level)

    def _constant(self, number: int, level: int) -> Any:
        if (number, level) not in self._constants:
            one = np.zeros(self.ring, np.int64)
            one[:] = number
            self._constants[number, level] = self.slots(one, level)
        return self._constants[number, level]

    def _monomial(self, step: int) -> Any:
        """Return -X^(ring - stride * 2^step), which is X^(-stride * 2^step)."""
        coefficients = np.zeros(self.ring, np.int64)
        coefficients[self.ring - (self.ring // self.subring << step)] = -1
        return self._coefficients(coefficients)

    def slots(self, values: Numbers, level: int = 0) -> Any:
        """Encode int64 ``[ring]``, one number a slot."""
        return self.context.MakePackedPlaintext(centred(values), 1, level)

    def _coefficients(self, values: Numbers, level: int = 0) -> Any:
        return self.context.MakeCoefPackedPlaintext(centred(values), 1, level)

"""What OpenFHE does for a private look-up: keys in shares, codes to ciphertexts, ciphertexts to an answer.

Runs in the engine's process alone, under an interpreter that has OpenFHE; of the package it may import only what says
so. Bytes are OpenFHE's binary serialisation. What is computed from bytes has the same bytes in every process that
computes it; parties that check each other rely on that. Everything is decrypted at the level ``depth``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import repeat
from typing import Any, TypeVar

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
    no_openmp_team,
    non_zero,
    read,
    to_bytes,
)

# Shares that are drowned in noise need three primes to be left (OpenFHE, rns-multiparty.cpp).
_PRIMES_TO_DECRYPT = 3
_WORD = 8
# Parameters are serialised with every ciphertext; less than one prime's numbers at full parameters.
_MOST_AROUND_NUMBERS = 1 << 15
# How many of the numbers of a program's line are lines.
_OPERANDS = {"shift": 1, "scale": 1, "add": 2, "multiply": 2, "fuse": 3}
_T = TypeVar("_T")
_Made = TypeVar("_Made")


class Bgv(KeyShares):
    """A context for one scheme and one set of joint keys, whose shares :class:`KeyShares` makes.

    Args:
        settings: the fields of ``scheme.Scheme`` with ``subring``, ``leaves``, ``trace`` and ``expansion``, and
            ``parties``, the number of key shares, ``tag``, which names the joint keys, and ``threads``, the processors
            to keep busy.

    Raises:
        RuntimeError: OpenFHE refuses the parameters, such as for less than 128 bits of security.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        self.depth: int = settings["depth"]
        self.length: int = settings["code_length"]
        self.subring: int = settings["subring"]
        self._leaves: list[int] = settings["leaves"]
        self._trace: list[int] = settings["trace"]
        self._expansion: list[int] = settings["expansion"]
        self._monomials = [self._monomial(step) for step in range(len(self._expansion))]
        self._constants: dict[tuple[int, int], Any] = {}
        # OpenFHE splits one operation among processors badly and lets go of Python's lock, so whole operations run side
        # by side. Its tables of slots are made before.
        self._threads: int = settings["threads"]
        self._pool = ThreadPoolExecutor(self._threads, initializer=no_openmp_team)
        self.slots(np.zeros(self.ring, np.int64))

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
        coefficients[np.array(self._leaves) * stride] = (2 * bits.astype(np.int64) - 1) * scale
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
        nodes = {0: query}
        for step, index in enumerate(self._expansion):
            parted = partial(self._parted, step=step, key=keys[index])
            found = self.side_by_side(parted, list(nodes.items()))
            nodes = {place: value for children in found for place, value in children.items()}
        bits = [nodes[leaf] for leaf in self._leaves]
        for bit in bits:
            bit.SetEncodingType(openfhe.PACKED_ENCODING)
        return bits

    def _parted(self, node: tuple[int, Any], *, step: int, key: Any) -> dict[int, Any]:
        """Return what a node of the tree falls apart into, without what no bit of the code lies in."""
        place, value = node
        below = {leaf % (2 << step) for leaf in self._leaves}
        turned = self.context.EvalAutomorphism(value, self._expansion[step], key)
        children = {}
        if place in below:
            children[place] = self.context.EvalAdd(value, turned)
        if place + (1 << step) in below:
            product = self.context.EvalMult(self.context.EvalSub(value, turned), self._monomials[step])
            product.SetNoiseScaleDeg(1)
            children[place + (1 << step)] = product
        return children

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
        total = self._sum(self.context.EvalMultNoRelin, query, block)
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
        lowered = [self._down(column, start) for column in columns]
        weights = [non_zero(seed + b"check" + number.to_bytes(2, "big"), self.ring) for number in range(len(columns))]
        expected = -np.sum(weights, axis=0) * used

        def weighted_square(value: Any, weight: Numbers) -> Any:
            return self._times(self.context.EvalMultNoRelin(value, value), self.slots(weight, start))

        total = self._sum(weighted_square, lowered, weights)
        self.context.RelinearizeInPlace(total)
        total = self.context.EvalAdd(total, self.slots(expected, start))
        for number, (difference, where) in enumerate(differences(lowered) if differences else ()):
            weight = non_zero(seed + b"differences" + number.to_bytes(2, "big"), self.ring)
            total = self.context.EvalAdd(total, self._times(difference, self.slots(weight * where, start)))
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
        values = {0: value}
        left = dict(enumerate(program, 1))
        running: dict[Future[Any], int] = {}
        try:
            while left or running:
                for number, (name, *numbers) in list(left.items()):
                    used = numbers[: _OPERANDS.get(name, 0)]
                    if all(operand in values for operand in used):
                        operands = [values[operand] for operand in used]
                        running[self._pool.submit(self._operation, name, operands, numbers[-1])] = number
                        del left[number]
                if not running:
                    raise Malformed("a program that uses what it does not make")
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    values[running.pop(future)] = future.result()
        finally:
            self._settle(running)
        return values[len(program)]

    def _operation(self, name: str, operands: Sequence[Any], number: int) -> Any:
        """Carry out one line of a program; ``number`` is its last one."""
        match name:
            case "shift":
                return self.context.EvalAdd(operands[0], self._constant(number, operands[0].GetLevel()))
            case "scale":
                return self._times(operands[0], self._constant(number, operands[0].GetLevel()))
            case "add":
                return self.context.EvalAdd(*self.level(*operands))
            case "multiply" if operands[0] is operands[1]:
                return self.drop(self.context.EvalSquare(operands[0]))
            case "multiply":
                return self.drop(self.context.EvalMult(*self.level(*operands)))
            case "fuse":
                product = self.context.EvalMult(*self.level(*operands[:2]))
                product.SetNoiseScaleDeg(1)
                return self.drop(self.context.EvalAdd(*self.level(product, operands[2])))
        raise Malformed(f"no operation {name}")

    def side_by_side(self, call: Callable[[_T], _Made], values: Sequence[_T]) -> list[_Made]:
        """Return what a call makes of each value, several at once; what comes alone has all threads for itself."""
        if len(values) == 1:
            return [call(values[0])]
        running = [self._pool.submit(call, value) for value in values]
        try:
            return [future.result() for future in running]
        finally:
            self._settle(running)

    @staticmethod
    def _settle(running: Iterable[Future[Any]]) -> None:
        """Leave nothing running behind a failure; that memory ran out anywhere is told before anything else."""
        for future in running:
            future.cancel()
        done, _ = wait(running)
        for future in done:
            if not future.cancelled() and isinstance(future.exception(), MemoryError):
                raise MemoryError

    def _sum(self, call: Callable[..., Any], *columns: Sequence[Any]) -> Any:
        """Return the sum of what a call makes of each row of columns, as many runs of rows side by side as threads."""
        rows = list(zip(*columns, strict=True))

        def added(run: Sequence[Any]) -> Any:
            total = call(*run[0])
            for row in run[1:]:
                self.context.EvalAddInPlace(total, call(*row))
            return total

        runs = [rows[start :: self._threads] for start in range(min(self._threads, len(rows)))]
        totals = self.side_by_side(added, runs)
        for total in totals[1:]:
            self.context.EvalAddInPlace(totals[0], total)
        return totals[0]

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

"""Entries of many slots: what small catalogues are made of, so that a query need not be taken apart.

A ciphertext's slots are ``group`` runs, and an entry has the same place in each of them. A run holds one bit of all
entries, so that code_length / group ciphertexts make a block. The products of a query's and a block's are added slot by
slot, then over an entry's slots by turning the rows; after that all slots of an entry have its similarity, and share
the work on the polynomial (``circuit.Spread``).

Runs in the engine's process alone, as ``bgv`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from provenance.private_lookup.bgv import Bgv
from provenance.private_lookup.bgv_base import Malformed


class Grouped:
    """Evaluates entries of ``group`` slots.

    Args:
        bgv: the context.
        group: slots of an entry.
        turns: automorphisms that bring an entry's slots together, the swap of the rows last.
        neighbour: the automorphism that turns both rows by one.
    """

    def __init__(self, bgv: Bgv, group: int, turns: Sequence[int], neighbour: int) -> None:
        if 1 << len(turns) != group or bgv.ring % group or bgv.length % group:
            raise Malformed(f"no entries of {group} slots")
        self._bgv, self._context = bgv, bgv.context
        self.group, self._turns, self._neighbour = group, turns, neighbour
        self._roots: dict[tuple[str, int, int], Any] = {}

    def spread(self, total: Any, keys: Mapping[int, Any], circuit: Mapping[str, Any]) -> Any:
        """Return the circuit's value in every slot of every entry.

        Args:
            total: products of query and block, added.
            keys: of the automorphisms.
            circuit: ``middle``, ``roots``, ``folds`` and ``id`` of a ``circuit.Spread``.
        """
        for index in self._turns:
            total = self._context.EvalAdd(total, self._context.EvalAutomorphism(total, index, keys[index]))
        level = total.GetLevel()
        middle = np.full(self._bgv.ring, -circuit["middle"], np.int64)
        shifted = self._context.EvalAdd(total, self._kept(circuit["id"], -1, level, middle))
        squared = self._bgv.drop(self._context.EvalSquare(shifted))
        roots = np.array(circuit["roots"], np.int64)[self._rows(circuit["folds"])]
        factors = [
            self._context.EvalAdd(squared, self._kept(circuit["id"], number, level + 1, self._in_runs(-column)))
            for number, column in enumerate(roots.T)
        ]
        while len(factors) > 1:
            # One that is left over waits: it has more levels than its partner needs.
            pairs = [factors[n : n + 2] for n in range(0, len(factors) - 1, 2)]
            products = self._bgv.side_by_side(lambda pair: self._product(*pair), pairs)
            factors = products + factors[2 * len(products) :]
        (value,) = factors
        for index in self._turns[: circuit["folds"]]:
            value = self._product(value, self._context.EvalAutomorphism(value, index, keys[index]))
        return value

    def differences(
        self, query: Sequence[Any], keys: Mapping[int, Any]
    ) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        """Return what is zero where a query is the same for all entries: neighbours subtracted, within each run."""
        entries = self._bgv.ring // self.group
        where = np.tile((np.arange(entries) < entries - 1).astype(np.int64), self.group)
        for column in query:
            turned = self._context.EvalAutomorphism(column, self._neighbour, keys[self._neighbour])
            yield self._context.EvalSub(turned, column), where

    def all_slots(self, first: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return all slots of entries, bool ``[ring]``, of whose slots the first are marked."""
        entries = self._bgv.ring // self.group
        if first[entries:].any():
            raise Malformed("more entries than a block holds")
        return np.tile(first[:entries], self.group)

    def _rows(self, folds: int) -> npt.NDArray[np.int64]:
        """Return which row of roots each run takes, so that ``folds`` turns bring all of them together."""
        run = np.arange(self.group)
        turned = len(self._turns) - 1
        # The first turns are the widest: runs that they bring together differ in the upper digits of their place.
        return run if folds > turned else (run % (1 << turned)) >> (turned - folds)

    def _in_runs(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.repeat(values, self._bgv.ring // self.group)

    def _product(self, one: Any, other: Any) -> Any:
        return self._bgv.drop(self._context.EvalMult(*self._bgv.level(one, other)))

    def _kept(self, circuit: str, number: int, level: int, values: npt.NDArray[np.int64]) -> Any:
        found = circuit, number, level
        if found not in self._roots:
            self._roots[found] = self._bgv.slots(values, level)
        return self._roots[found]

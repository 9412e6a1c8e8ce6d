"""The circuits, on plain numbers: every distance, every threshold, every length."""

from __future__ import annotations

import numpy as np
import pytest

from provenance.private_lookup.circuit import Policy, compile_circuit, spread_circuit
from provenance.private_lookup.errors import SchemeError
from provenance.private_lookup.scheme import CODE_LENGTHS, GROUPED, MAX_TAU, PLAINTEXT_MODULUS, SCHEMES


@pytest.mark.parametrize("length", CODE_LENGTHS)
def test_every_distance_at_every_threshold(length: int) -> None:
    distances = np.arange(length + 1)
    for tau in range(MAX_TAU + 1):
        bit, who = (compile_circuit(policy, length, tau)(length - 2 * distances) for policy in (Policy.BIT, Policy.WHO))
        assert np.array_equal(bit != 0, distances <= tau)
        assert np.array_equal(who == 0, distances <= tau)
        assert min(bit.min(), who.min()) >= 0
        assert max(bit.max(), who.max()) < PLAINTEXT_MODULUS


@pytest.mark.parametrize("length", CODE_LENGTHS)
def test_slots_that_share_the_work_come_to_the_same(length: int) -> None:
    similarities = length - 2 * np.arange(length + 1)
    for tau in range(MAX_TAU + 1):
        bit, who = (spread_circuit(policy, length, tau, GROUPED) for policy in (Policy.BIT, Policy.WHO))
        assert np.array_equal(bit(similarities) != 0, np.arange(length + 1) <= tau)
        assert np.array_equal(who(similarities) == 0, np.arange(length + 1) <= tau)
        assert bit(0) == 0 != who(0)
        for circuit in bit, who:
            assert len(circuit.roots) == 1 << circuit.folds <= GROUPED


@pytest.mark.parametrize("length", CODE_LENGTHS)
def test_an_empty_slot_never_matches(length: int) -> None:
    for tau in range(MAX_TAU + 1):
        assert compile_circuit(Policy.BIT, length, tau)(0) == 0
        assert compile_circuit(Policy.WHO, length, tau)(0) != 0


def test_every_circuit_fits_the_depth_of_its_schemes() -> None:
    """One product is the similarity itself; ``who`` needs one more for its masks."""
    for scheme in SCHEMES.values():
        for tau in range(MAX_TAU + 1):
            assert compile_circuit(Policy.BIT, scheme.code_length, tau).depth + 1 <= scheme.depth
            assert compile_circuit(Policy.WHO, scheme.code_length, tau).depth + 2 <= scheme.depth
            assert spread_circuit(Policy.BIT, scheme.code_length, tau, GROUPED).depth + 1 <= scheme.depth
            assert spread_circuit(Policy.WHO, scheme.code_length, tau, GROUPED).depth + 2 <= scheme.depth


def test_the_default_threshold_takes_few_products() -> None:
    """As many as the prototype of docs/private-lookup.md, which had the threshold 8, or fewer."""
    bit, who = (compile_circuit(policy, 96, 24) for policy in (Policy.BIT, Policy.WHO))
    assert (bit.depth, who.depth) == (7, 5)
    assert bit.products <= 15
    assert who.products <= 8


def test_a_program_uses_only_what_stands_before_it() -> None:
    for policy in Policy:
        for number, (name, *arguments) in enumerate(compile_circuit(policy, 96, 24).program, 1):
            values = arguments[:1] if name in ("shift", "scale") else arguments
            assert all(0 <= value < number for value in values)


def test_the_digest_tells_circuits_apart() -> None:
    made = [compile_circuit(policy, length, tau) for policy in Policy for length in (96, 128) for tau in (23, 24)]
    assert len({circuit.digest for circuit in made}) == len(made)


@pytest.mark.parametrize(("length", "tau"), [(96, -1), (96, 33), (64, 24), (100, 24)])
def test_what_is_not_offered_is_refused(length: int, tau: int) -> None:
    with pytest.raises(SchemeError, match=r"[Cc]hoose"):
        compile_circuit(Policy.BIT, length, tau)

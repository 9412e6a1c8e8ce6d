"""Parameters, and what chance does at a catalogue's size."""

from __future__ import annotations

import pytest

from provenance.hashing.code import chance_fpr
from provenance.private_lookup.errors import SchemeError
from provenance.private_lookup.scheme import (
    CODE_LENGTHS,
    SCHEMES,
    check_tau,
    expected_false_hits,
    largest_tau,
    scheme,
    scheme_for,
)


def test_only_toys_are_insecure_and_say_so() -> None:
    assert {name.startswith("toy-") for name, one in SCHEMES.items() if not one.secure} == {True}
    assert {name.startswith("toy-") for name, one in SCHEMES.items() if one.secure} == {False}


@pytest.mark.parametrize("length", CODE_LENGTHS)
def test_a_length_has_its_scheme(length: int) -> None:
    found = scheme_for(length)
    assert found.secure
    assert found.code_length == length <= found.subring
    assert scheme(found.id) == found
    # The sums of the trace leave the ring's coefficients of the subring; expanding doubles up to all of these.
    assert 2 ** len(found.trace) * found.subring == found.ring
    assert 2 ** len(found.expansion) == found.subring
    assert len(set(found.automorphisms)) == len(found.automorphisms)
    # Every bit has its coefficient, and no branch of the expansion has leaves for less than it must be taken apart.
    assert len(set(found.leaves)) == length
    assert max(found.leaves) < found.subring
    nodes = sum(len({leaf % (1 << step) for leaf in found.leaves}) for step in range(len(found.expansion)))
    assert nodes == (length if length in (96, 192) else length - 1)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(SchemeError, match="bgv-v1-96"):
        scheme("bgv-v0-96")
    with pytest.raises(SchemeError, match="Choose one of"):
        scheme_for(64)
    for tau in (-1, 33):
        with pytest.raises(SchemeError, match="0 to 32"):
            check_tau(tau)
    check_tau(0)
    check_tau(32)


def test_half_a_false_hit_a_query_at_a_million_entries() -> None:
    """96 bits, 24 of which may differ: METHODS of DinoHash (arXiv 2503.11195), by the binomial model."""
    assert expected_false_hits(chance_fpr(96, 24), 10**6) == pytest.approx(0.48, abs=0.01)
    with pytest.raises(ValueError):
        expected_false_hits(1.5, 1)
    with pytest.raises(ValueError):
        expected_false_hits(0.5, -1)


def test_the_threshold_follows_the_size() -> None:
    rates = [chance_fpr(96, tau) for tau in range(97)]
    assert [largest_tau(rates, size) for size in (1, 1000, 10**6)] == [32, 24, 19]
    assert largest_tau([1e-3], 10**6) is None
    assert largest_tau(rates, 0) == 32

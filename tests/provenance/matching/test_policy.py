"""Thresholds and what they cost, from the measured curves."""

from __future__ import annotations

import pytest

from provenance.hashing.hasher import HASHERS, RETIRED
from provenance.matching.policy import CANDIDATE_RATE, NEAR_RATE, POLICIES, derived


def test_every_hash_has_a_policy_and_a_large_curve() -> None:
    assert set(POLICIES) == {*HASHERS, *RETIRED}
    for algorithm, policy in POLICIES.items():
        hasher = HASHERS[algorithm] if algorithm in HASHERS else RETIRED[algorithm].hasher
        assert policy.length == hasher.length
        assert policy.near_radius < policy.candidate_radius < policy.length
        assert policy.false_match_rate(0).pairs >= 1_000_000


@pytest.mark.parametrize("algorithm", POLICIES)
def test_rates_grow_with_the_distance_and_stay_below_their_bound(algorithm: str) -> None:
    policy = POLICIES[algorithm]
    rates = [policy.false_match_rate(tau) for tau in range(-1, policy.length + 1)]
    measured = [rate.measured for rate in rates]
    assert measured == sorted(measured)
    assert measured[0] == 0
    assert measured[-1] == 1
    assert all(rate.measured <= rate.upper_bound <= 1 for rate in rates)


def test_no_false_match_seen_is_not_called_impossible() -> None:
    rate = POLICIES["pdq-v1"].false_match_rate(31)
    assert rate.measured == 0
    # The rule of three at 95 %: about 3 / pairs.
    assert rate.upper_bound == pytest.approx(3 / rate.pairs, rel=0.01)


@pytest.mark.parametrize("algorithm", POLICIES)
def test_candidates_stay_few_in_a_large_registry(algorithm: str) -> None:
    policy = POLICIES[algorithm]
    expected = policy.expected_false_candidates(100_000, policy.candidate_radius)
    assert 0 < expected.measured <= expected.upper_bound < 20
    double = policy.expected_false_candidates(200_000, policy.candidate_radius)
    assert double.measured == pytest.approx(2 * expected.measured)


def test_our_own_radii_are_those_of_the_curve() -> None:
    policy = POLICIES["dinohash-house-v2"]
    for radius, rate in ((policy.candidate_radius, CANDIDATE_RATE), (policy.near_radius, NEAR_RATE)):
        assert policy.false_match_rate(radius).measured <= rate < policy.false_match_rate(radius + 1).measured


def test_the_binomial_is_no_measurement() -> None:
    """Real codes are not fair coins: the model is off by orders of magnitude, so it stands beside, not instead."""
    policy = POLICIES["pdq-v1"]
    rate = policy.false_match_rate(84)
    assert rate.measured > 10 * rate.binomial > 0


def test_of_few_pairs_the_source_claims_no_more_than_they_show() -> None:
    few = derived("of a catalogue", 64, variants=1, curve=(0, 0, 1, *[0] * 61, 405))
    assert (few.near_radius, few.source) == (1, "measured: nearer than any of 406 pairs of different pictures")
    source = "measured: at most one in 1,000,000 of 1,056,329 pairs of different pictures"
    assert POLICIES["dinohash-house-v2"].source == source


def test_what_few_pairs_vouch_for_does_not_come_first() -> None:
    few = derived("of a catalogue", 64, variants=1, curve=(0, 1, *[0] * 62, 10))
    assert few.candidate_radius == 0
    many = POLICIES["pdq-v1"]
    assert many.rarity(many.near_radius) < few.rarity(0) < few.rarity(1)

"""What the benchmark of deep hashes measures, by pictures small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import deephash
from benchmarks.deephash_measures import (
    Codes,
    Copies,
    collisions,
    decide,
    decide_pairs,
    distances,
    distinct_rates,
    hit_by_code,
    likeness,
    nearest,
    retrieval,
    same_code_pairs,
)
from benchmarks.deephash_nets import Registry, epochs_of
from benchmarks.recall import Cell
from provenance.hashing.autoencoders import grey
from provenance.images.decode import decode
from provenance.models.catalogue import WEIGHTS
from tests.webapp.pictures import jpeg, png


def codes(*bits: str, features: object = None) -> Codes:
    """Return codes of eight bits each, with feature vectors or the bits themselves."""
    unpacked = np.array([[int(bit) for bit in code] for code in bits], np.uint8)
    given = unpacked if features is None else features
    return Codes(np.packbits(unpacked, axis=1), np.asarray(given, np.float32))


def test_distances_count_bits_and_order_equals_by_features() -> None:
    database = codes("00000000", "00000001", "00000011", features=[[0.0], [5.0], [1.0]])
    (apart,) = distances(codes("00000000", features=[[0.5]]), database)
    assert np.floor(apart).tolist() == [0, 1, 2]
    (apart,) = distances(codes("10000001", features=[[4.0]]), database)
    assert np.floor(apart).tolist() == [2, 1, 2]
    assert apart.argsort().tolist() == [1, 2, 0]


def test_a_picture_is_nothing_away_from_itself_however_large_its_features() -> None:
    random = np.random.default_rng(0)
    features = 1e3 + random.normal(size=(50, 64)).astype(np.float32)
    same = Codes(np.zeros((50, 8), np.uint8), features)
    apart = distances(same, same)
    assert apart.dtype == np.float64
    assert apart.diagonal() == pytest.approx(np.zeros(50), abs=1e-6)
    assert apart.argmin(1).tolist() == list(range(50))
    assert (apart < 1).all()


def test_the_nearest_by_features_is_of_the_few_nearest_by_code() -> None:
    database = codes(*["00000000"] * 5, "11111111", features=[[9.0], [8.0], [7.0], [6.0], [5.0], [0.0]])
    rows, least = nearest(codes("00000000", features=[[0.0]]), database)
    assert (rows.tolist(), least.tolist()) == ([4], [25.0])


def test_of_pictures_with_one_code_each_is_first_by_chance() -> None:
    shared = codes("00000000", "00000000", "00000000", "11110000")
    assert hit_by_code(shared, 1) == pytest.approx((3 * 1 / 3 + 1) / 4)
    assert hit_by_code(shared, 3) == 1


def test_the_three_rates_of_collision() -> None:
    shared = codes("00000000", "00000000", "00000000", "11110000")
    assert collisions(shared) == pytest.approx((3 / 4, 2 / 4, 3 / 6))
    assert same_code_pairs(shared) == [(0, 1), (0, 2), (1, 2)]


def test_of_different_pictures_all_pairs_give_the_same_rates() -> None:
    shared = codes("00000000", "00000000", "00000000", "11110000", "11110000", "00001111")
    pairs = same_code_pairs(shared)
    assert distinct_rates(pairs, 6) == pytest.approx(collisions(shared))
    assert distinct_rates([pair for pair in pairs if 3 not in pair], 6) == pytest.approx((3 / 6, 2 / 6, 3 / 15))
    assert distinct_rates([], 6) == (0, 0, 0)


def test_a_picture_that_is_there_twice_collides_with_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = [png(1), jpeg(1), png(2)]
    levels = np.stack([grey(decode(data).pixels, 128) for data in encoded])
    monkeypatch.setattr(deephash, "registry", lambda: Registry(["a", "b", "c"], levels, levels, encoded))
    monkeypatch.setattr(deephash, "share_pixels", lambda one, other: False)
    same = Codes(np.zeros((3, 8), np.uint8), np.zeros((3, 1), np.float32))
    assert deephash.distinct_collisions(same) == (3, [(0, 2), (1, 2)])
    monkeypatch.setattr(deephash, "share_pixels", lambda one, other: one == encoded[1])
    assert deephash.distinct_collisions(same) == (3, [(0, 2)])
    monkeypatch.setattr(deephash, "_LIMIT_OF_PAIRS", 0)
    assert len(deephash.distinct_collisions(same)[1]) == 3, "what is not looked at counts"


@pytest.mark.parametrize("bits", [64, 128])
def test_epochs_of_shipped_nets_are_those_of_their_cards(bits: int) -> None:
    card = (WEIGHTS / f"con-vae-{bits}.md").read_text()
    assert f"Training: {epochs_of(('con-vae', bits), 'photographs')} epochs" in card


def test_retrieval() -> None:
    labels, wanted = np.array(["cat", "dog", "cat"]), np.array(["cat", "dog"])
    apart = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]])
    precision, recall, mean = retrieval(apart, labels, wanted)
    assert precision == pytest.approx((1 / 2 + 0) / 2)
    assert recall == pytest.approx((1 + 0) / 2)
    assert mean == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)


def test_pictures_that_are_the_same_have_no_psnr() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(0, 256, (2, 16, 16), dtype=np.uint8)
    both = likeness(np.stack([one, one]), np.stack([one, other]))
    assert both.identical == 0.5
    assert 5 < both.psnr < 12
    assert both.legacy > 28
    assert np.isnan(likeness(one[None], one[None]).psnr)


def test_copies_of_one_picture_count_for_as_many_as_they_are_worth() -> None:
    together = np.repeat(np.arange(100)[:, None] < 90, 15, axis=1)
    assert Copies(together).share == 0.9
    assert Copies(together).interval == pytest.approx(Cell(90, 100).interval, abs=2e-3)
    apart = np.random.default_rng(0).permutation(together.ravel()).reshape(together.shape)
    low, high = Copies(apart).interval
    wide_low, wide_high = Copies(together).interval
    assert high - low < (wide_high - wide_low) / 2
    assert low < 0.9 < high


def test_of_copies_that_are_all_found_one_a_picture_counts() -> None:
    assert Copies(np.ones((100, 15), bool)).interval == pytest.approx(Cell(100, 100).interval)
    assert Copies(np.array([[True, False]] * 9)).interval == pytest.approx(Cell(9, 18).interval)


def test_the_threshold_is_set_by_one_half_and_measured_on_the_other() -> None:
    unregistered = np.empty(200)
    unregistered[::2], unregistered[1::2] = np.arange(100) + 10.0, np.arange(100) + 8.0
    edited = np.array([[1.0, 12.0], [9.0, np.inf]])
    found = decide(edited, np.array([0.0, 30.0]), unregistered, 0.02)
    assert found.threshold == 12
    assert (found.wrong, found.asked, found.fpr) == (4, 100, 0.04)
    assert found.bound == pytest.approx(0.0892, abs=1e-4), "Clopper and Pearson, one-sided"
    assert found.unedited == 0.5
    assert found.edited.found.tolist() == [[True, False], [True, False]]


def test_pairs_too() -> None:
    strangers = np.array([[0, 0, 1, 9], [0, 1, 0, 9]])
    genuine = np.array([[0, 3], [1, 2]])
    found = decide_pairs(genuine, strangers, 0.05)
    assert (found.threshold, found.fpr) == (1, 0.1)
    assert found.edited.found.tolist() == [[True, False]]

"""Search by descriptor: the right work first, nothing deleted, nothing from an empty registry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from django.utils import timezone

from provenance.hashing.descriptor import WIDTH, Vectors
from tests.webapp.conftest import Cast
from webapp.registry.descriptors import works_like
from webapp.registry.models import Descriptor, Work
from webapp.registry.services import descriptor_rows

pytestmark = pytest.mark.django_db


def unit(*seeds: int) -> Vectors:
    rows = np.stack([np.random.default_rng(seed).standard_normal(WIDTH) for seed in seeds])
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def work_with(cast: Cast, vectors: npt.NDArray[np.float32], digest: str) -> Work:
    work = Work.objects.create(
        organisation=cast.organisation, title=digest, sha256=digest * 64, pixel_sha256=digest * 64,
        media_type="image/png", width=8, height=8, byte_size=64,
    )  # fmt: skip
    Descriptor.objects.bulk_create(descriptor_rows(work, vectors))
    return work


def between(one: Vectors, other: Vectors, part: float) -> Vectors:
    mixed = (1 - part) * one + part * other
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)


def test_an_empty_registry_has_nothing_alike() -> None:
    assert works_like(unit(1, 2), most=2000, limit=10) == ([], True)


def test_the_nearest_of_all_vectors_counts(cast: Cast) -> None:
    near = work_with(cast, np.concatenate([unit(1), between(unit(2), unit(3), 0.1)]), "a")
    far = work_with(cast, between(unit(2), unit(4), 0.35), "b")
    work_with(cast, unit(5, 6), "c")
    found, _all = works_like(unit(7, 2), most=418, limit=10)
    assert [candidate.id for candidate in found] == [near.pk, far.pk]
    assert [candidate.variant for candidate in found] == [1, 1]
    assert 0 < found[0].distance < 20 < found[1].distance < 418
    assert [candidate.id for candidate in works_like(unit(7, 2), most=418, limit=1)[0]] == [near.pk]
    assert [candidate.id for candidate in works_like(unit(7, 2), most=50, limit=10)[0]] == [near.pk]


def test_a_deleted_work_is_not_found_and_an_undone_deletion_is(cast: Cast) -> None:
    work = work_with(cast, unit(1), "a")
    Work.objects.filter(pk=work.pk).update(deleted_at=timezone.now())
    assert works_like(unit(1), most=100, limit=10) == ([], True)
    Work.objects.filter(pk=work.pk).update(deleted_at=None)
    (found,), _all = works_like(unit(1), most=100, limit=10)
    assert (found.id, found.distance) == (work.pk, 0)


def test_it_says_whether_there_are_more_though_works_have_several_vectors(cast: Cast) -> None:
    for digest in "abc":
        work_with(cast, np.concatenate([unit(1)] * 4), digest)
    assert works_like(unit(1), most=100, limit=20)[1]
    few, found_is_all = works_like(unit(1), most=100, limit=10)
    assert not found_is_all
    assert 1 <= len(few) <= 3
    assert works_like(unit(2), most=100, limit=10) == ([], True)

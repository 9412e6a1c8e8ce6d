"""Exact search in PostgreSQL against brute force, from no work at all to 100,000."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from provenance.hashing.code import HashCode, hamming
from provenance.matching.index import Candidate, MemoryIndex
from tests.webapp.conftest import Cast
from webapp.registry.models import Fingerprint, Work
from webapp.registry.search import SqlIndex
from webapp.registry.selectors import registry_size, works_exact

pytestmark = pytest.mark.django_db

ALGORITHMS = [("pdq-v1", 256), ("phash-v1", 64)]


def make_works(cast: Cast, ids: Sequence[uuid.UUID]) -> None:
    """Register bare works with these ids, by COPY: a test of 100,000 must not take minutes."""
    columns = (
        "id, organisation_id, title, creator, licence, source_url, external_id, visibility, sha256, pixel_sha256,"
        " media_type, width, height, byte_size, created_at"
    )
    now = timezone.now()
    with connection.cursor() as cursor, cursor.copy(f"COPY registry_work ({columns}) FROM STDIN") as copy:
        for work_id in ids:
            copy.write_row(
                (
                    work_id,
                    cast.organisation.pk,
                    *("work", "", "", "", "", "public"),
                    *(work_id.hex * 2, work_id.hex * 2),
                    *("image/png", 8, 8, 64, now),
                )
            )


def random_codes(rng: np.random.Generator, algorithm: str, length: int, count: int) -> list[HashCode]:
    rows = rng.integers(0, 256, (count, length // 8), dtype=np.uint8)
    return [HashCode(algorithm, row.tobytes(), length) for row in rows]


def random_ids(rng: np.random.Generator, count: int) -> list[uuid.UUID]:
    return [uuid.UUID(bytes=rng.bytes(16)) for _ in range(count)]


def flipped(code: HashCode, bits: Sequence[int]) -> HashCode:
    """Return the code with these bits turned over."""
    value = int.from_bytes(code.bits, "big")
    for bit in bits:
        value ^= 1 << bit
    return HashCode(code.algorithm, value.to_bytes(code.length // 8, "big"), code.length)


@pytest.mark.parametrize(("algorithm", "length"), ALGORITHMS)
@pytest.mark.parametrize("count", [0, 1, 2, 257])
def test_it_finds_what_brute_force_finds(cast: Cast, algorithm: str, length: int, count: int) -> None:
    rng = np.random.default_rng(count)
    ids, codes = random_ids(rng, count), random_codes(rng, algorithm, length, count)
    make_works(cast, ids)
    index = SqlIndex(algorithm, length)
    index.add(ids, codes)
    query = random_codes(rng, algorithm, length, 8)
    for radius in (0, length // 3, length // 2, length):
        brute = [
            (min(hamming(one, code) for one in query), work_id) for work_id, code in zip(ids, codes, strict=True)
        ]
        expected = sorted((distance, work_id) for distance, work_id in brute if distance <= radius)
        assert [(found.distance, found.id) for found in index.search(query, radius)] == expected
        assert index.search(query, radius, 3) == index.search(query, radius)[:3]


@pytest.mark.parametrize(("algorithm", "length"), ALGORITHMS)
def test_a_hundred_thousand_works_lose_nothing(cast: Cast, algorithm: str, length: int) -> None:
    """Neighbours planted at and just past the radius are all found, and those past it are not."""
    rng = np.random.default_rng(100_000)
    count, radius = 100_000, length // 8
    ids, codes = random_ids(rng, count), random_codes(rng, algorithm, length, count)
    query = random_codes(rng, algorithm, length, 8)
    for row in range(64):
        distance = radius - 3 + row % 6
        codes[row * 1000] = flipped(query[row % 8], rng.permutation(length)[:distance].tolist())
    make_works(cast, ids)
    index = SqlIndex(algorithm, length)
    index.add(ids, codes)
    memory = MemoryIndex(algorithm, length)
    memory.add(ids, codes)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE registry_fingerprint, registry_work")

    expected = memory.search(query, radius)
    assert len(expected) >= 40
    assert index.search(query, radius) == expected
    assert index.search(query[0], radius) == memory.search(query[0], radius)
    assert index.search(query, radius, 5) == expected[:5]
    assert registry_size() == count


def test_the_nearest_variant_is_named_and_the_first_of_equals(cast: Cast) -> None:
    rng = np.random.default_rng(1)
    (work_id,) = ids = random_ids(rng, 1)
    make_works(cast, ids)
    index = SqlIndex("pdq-v1", 256)
    (code,) = random_codes(rng, "pdq-v1", 256, 1)
    index.add(ids, [code])
    far = flipped(code, range(40))
    assert index.search([far, flipped(code, [1, 2]), far, flipped(code, [5, 9])], 30) == [Candidate(work_id, 2, 1)]


def test_equal_distances_come_in_the_order_of_ids(cast: Cast) -> None:
    rng = np.random.default_rng(2)
    ids = random_ids(rng, 40)
    make_works(cast, ids)
    index = SqlIndex("phash-v1", 64)
    (code,) = random_codes(rng, "phash-v1", 64, 1)
    index.add(ids, [code] * len(ids))
    assert [found.id for found in index.search(code, 0)] == sorted(ids)
    assert [found.id for found in index.search(code, 0, 7)] == sorted(ids)[:7]


def test_a_deleted_work_is_not_found_until_the_deletion_is_undone(cast: Cast) -> None:
    rng = np.random.default_rng(3)
    ids, (code,) = random_ids(rng, 2), random_codes(rng, "phash-v1", 64, 1)
    make_works(cast, ids)
    index = SqlIndex("phash-v1", 64)
    index.add(ids, [code, code])
    Work.objects.filter(pk=ids[0]).update(deleted_at=timezone.now())
    assert [found.id for found in index.search(code, 64)] == [ids[1]]
    assert registry_size() == 1
    Work.objects.filter(pk=ids[0]).update(deleted_at=None)
    assert len(index.search(code, 64)) == 2


def test_algorithms_do_not_meet(cast: Cast) -> None:
    rng = np.random.default_rng(4)
    ids = random_ids(rng, 1)
    make_works(cast, ids)
    (code,) = random_codes(rng, "pdq-v1", 256, 1)
    SqlIndex("pdq-v1", 256).add(ids, [code])
    other = HashCode("pdq-v2", code.bits, 256)
    assert SqlIndex("pdq-v2", 256).search(other, 256) == []


def test_adding_again_replaces_and_removing_forgets(cast: Cast) -> None:
    rng = np.random.default_rng(5)
    ids = random_ids(rng, 2)
    make_works(cast, ids)
    first, second, third = random_codes(rng, "phash-v1", 64, 3)
    index = SqlIndex("phash-v1", 64)
    index.add(ids, [first, second], [0.5, 0.75])
    index.add(ids[:1], [third])
    assert index.search(first, 0) == []
    assert index.search(third, 0) == [Candidate(ids[0], 0, 0)]
    assert Fingerprint.objects.get(work=ids[1]).quality == 0.75
    index.remove([ids[0], uuid.uuid4()])
    assert [found.id for found in index.search([first, second, third], 64)] == [ids[1]]


def test_what_does_not_belong_is_refused(cast: Cast) -> None:
    rng = np.random.default_rng(6)
    ids = random_ids(rng, 1)
    make_works(cast, ids)
    index = SqlIndex("phash-v1", 64)
    (pdq,) = random_codes(rng, "pdq-v1", 256, 1)
    (code,) = random_codes(rng, "phash-v1", 64, 1)
    with pytest.raises(ValueError, match="does not belong"):
        index.search(pdq, 10)
    with pytest.raises(ValueError, match="does not belong"):
        index.add(ids, [pdq])
    with pytest.raises(ValueError, match="ids for"):
        index.add([], [code])
    with transaction.atomic():
        index.add([uuid.uuid4()], [code])
        with pytest.raises(IntegrityError):
            connection.check_constraints()
        transaction.set_rollback(True)
    assert index.search([], 64) == []
    assert index.search(code, -1) == []


def test_one_statement_answers_all_variants(
    cast: Cast, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    codes = random_codes(np.random.default_rng(7), "pdq-v1", 256, 8)
    with django_assert_num_queries(1):  # type: ignore[operator]
        SqlIndex("pdq-v1", 256).search(codes, 90)


def test_exact_works_are_found_by_file_or_pixels_while_they_live(cast: Cast) -> None:
    ids = random_ids(np.random.default_rng(8), 3)
    make_works(cast, ids)
    Work.objects.filter(pk=ids[0]).update(sha256="a" * 64)
    Work.objects.filter(pk=ids[1]).update(pixel_sha256="b" * 64)
    Work.objects.filter(pk=ids[2]).update(sha256="a" * 64, organisation=cast.elsewhere, deleted_at=timezone.now())
    assert [work.pk for work in works_exact(sha256="a" * 64)] == [ids[0]]
    assert [work.pk for work in works_exact(pixel_sha256="b" * 64)] == [ids[1]]
    assert {work.pk for work in works_exact(sha256="a" * 64, pixel_sha256="b" * 64)} == set(ids[:2])
    assert not works_exact()
    assert not works_exact(sha256="c" * 64)

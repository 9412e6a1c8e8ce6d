"""Exact search in PostgreSQL: the cases of every index, and what only the registry has: deletions, keys, statements."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from provenance.hashing.code import HashCode
from tests.index_cases import Backend, every_case, random_codes
from tests.webapp.conftest import Cast
from webapp.registry.models import Fingerprint, Work
from webapp.registry.search import SqlIndex
from webapp.registry.selectors import registry_size, works_exact

pytestmark = pytest.mark.django_db


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


def random_ids(rng: np.random.Generator, count: int) -> list[uuid.UUID]:
    return [uuid.UUID(bytes=rng.bytes(16)) for _ in range(count)]


class Sql:
    """Keeps indexes in PostgreSQL; its ids are those of works, which it registers."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._rng = np.random.default_rng(1)

    def index(self, algorithm: str, length: int) -> SqlIndex:
        return SqlIndex(algorithm, length)

    def ids(self, count: int) -> list[Any]:
        ids = random_ids(self._rng, count)
        make_works(self._cast, ids)
        return ids

    def settle(self) -> None:
        """Let the planner know how many there are."""
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE registry_fingerprint, registry_work")


@every_case
def test_case(cast: Cast, case: Callable[[Backend], None]) -> None:
    case(Sql(cast))


def test_the_registry_knows_its_size(cast: Cast) -> None:
    make_works(cast, random_ids(np.random.default_rng(9), 3))
    assert registry_size() == 3


def test_a_deleted_work_is_not_found_until_the_deletion_is_undone(cast: Cast) -> None:
    rng = np.random.default_rng(3)
    ids, (code,) = random_ids(rng, 2), random_codes(3, "phash-v1", 64, 1)
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
    (code,) = random_codes(3, "pdq-v1", 256, 1)
    SqlIndex("pdq-v1", 256).add(ids, [code])
    other = HashCode("pdq-v2", code.bits, 256)
    assert SqlIndex("pdq-v2", 256).search(other, 256) == []


def test_qualities_are_kept(cast: Cast) -> None:
    ids = random_ids(np.random.default_rng(5), 2)
    make_works(cast, ids)
    SqlIndex("phash-v1", 64).add(ids, random_codes(5, "phash-v1", 64, 2), [0.5, 0.75])
    assert Fingerprint.objects.get(work=ids[1]).quality == 0.75


def test_a_code_of_no_work_is_refused() -> None:
    with transaction.atomic():
        SqlIndex("phash-v1", 64).add([uuid.uuid4()], random_codes(6, "phash-v1", 64, 1))
        with pytest.raises(IntegrityError):
            connection.check_constraints()
        transaction.set_rollback(True)


def test_one_statement_answers_all_variants(cast: Cast, django_assert_num_queries: pytest.FixtureRequest) -> None:
    codes = random_codes(7, "pdq-v1", 256, 8)
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

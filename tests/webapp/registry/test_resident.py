"""The index in memory keeps step with the table, whoever writes to it, in whatever order, and however it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.urls import reverse

from provenance.hashing.code import HashCode
from provenance.matching.scan import CodeTable
from tests.index_cases import Backend, every_case, flipped, random_codes
from tests.webapp.conftest import Cast
from tests.webapp.registry.test_search import make_works, random_ids
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.registry import resident
from webapp.registry.models import Fingerprint, SearchAudit, Visibility, Work
from webapp.registry.recall import KIND, audits_begin, index_audit
from webapp.registry.resident import ResidentIndex, resident_index
from webapp.registry.search import SqlIndex, registry_index
from webapp.registry.services import works_delete, works_restore

pytestmark = pytest.mark.django_db(transaction=True)

ALGORITHM, BITS = "phash-v1", 64


@pytest.fixture(autouse=True)
def every_registry_is_large(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SEARCH_RESIDENT_ROWS = 0
    monkeypatch.setattr(resident, "_INDEXES", {})


@pytest.fixture
def index() -> ResidentIndex:
    return resident_index(ALGORITHM, BITS)


class Resident:
    """Keeps indexes in memory, over the table; its ids are those of works, which it registers."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._rng = np.random.default_rng(1)

    def index(self, algorithm: str, length: int) -> ResidentIndex:
        return ResidentIndex(algorithm, length)

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
    case(Resident(cast))


def works_with_codes(cast: Cast, count: int, seed: int = 1) -> tuple[list[uuid.UUID], list[HashCode]]:
    """Register works of random codes."""
    ids, codes = random_ids(np.random.default_rng(seed), count), random_codes(seed, ALGORITHM, BITS, count)
    make_works(cast, ids)
    SqlIndex(ALGORITHM, BITS).add(ids, codes)
    return ids, codes


def found(index: ResidentIndex, code: HashCode, radius: int = 0) -> list[uuid.UUID]:
    return [candidate.id for candidate in index.search(code, radius)]


class Elsewhere:
    """Somebody else's connection, which commits when it is told to."""

    def __init__(self) -> None:
        self.wrapper = connection.copy()
        self.wrapper.set_autocommit(False)

    def insert(self, work: uuid.UUID, code: HashCode) -> None:
        with self.wrapper.cursor() as cursor:
            cursor.execute(
                "INSERT INTO registry_fingerprint (work_id, algorithm, hash64, quality) VALUES (%s, %s, %s, 1)",
                [work, ALGORITHM, code.bitstring()],
            )

    def remove(self, work: uuid.UUID) -> None:
        with self.wrapper.cursor() as cursor:
            cursor.execute("DELETE FROM registry_fingerprint WHERE work_id = %s", [work])


@pytest.fixture
def elsewhere() -> Iterator[Callable[[], Elsewhere]]:
    made: list[Elsewhere] = []

    def make() -> Elsewhere:
        made.append(Elsewhere())
        return made[-1]

    yield make
    for each in made:
        each.wrapper.close()


def test_transactions_that_commit_out_of_order_are_all_seen(
    cast: Cast, index: ResidentIndex, elsewhere: Callable[[], Elsewhere]
) -> None:
    ids, codes = random_ids(np.random.default_rng(2), 6), random_codes(2, ALGORITHM, BITS, 6)
    make_works(cast, ids)
    early, late, undone = elsewhere(), elsewhere(), elsewhere()
    early.insert(ids[0], codes[0])
    undone.insert(ids[1], codes[1])
    late.insert(ids[2], codes[2])
    SqlIndex(ALGORITHM, BITS).add(ids[3:4], codes[3:4])
    # The index is read while three transactions with lower numbers are under way.
    assert [found(index, code) for code in codes[:4]] == [[], [], [], [ids[3]]]
    late.wrapper.commit()
    assert [found(index, code) for code in codes[:3]] == [[], [], [ids[2]]]
    SqlIndex(ALGORITHM, BITS).add(ids[4:5], codes[4:5])
    assert found(index, codes[4]) == [ids[4]]
    undone.wrapper.rollback()
    early.insert(ids[5], codes[5])
    assert [found(index, code) for code in (codes[0], codes[1], codes[5])] == [[], [], []]
    early.wrapper.commit()
    assert [found(index, code) for code in codes] == [[ids[0]], [], [ids[2]], [ids[3]], [ids[4]], [ids[5]]]
    table = index.caught_up()
    assert table is not None
    assert len(table) == 5, "each was read once"


def test_a_removal_that_is_taken_back_changes_nothing(
    cast: Cast, index: ResidentIndex, elsewhere: Callable[[], Elsewhere]
) -> None:
    (work,), (code,) = works_with_codes(cast, 1)
    other = elsewhere()
    other.remove(work)
    assert found(index, code) == [work], "it is not committed"
    other.wrapper.rollback()
    assert found(index, code) == [work]
    other.remove(work)
    other.wrapper.commit()
    assert found(index, code) == []


def test_deletion_undo_and_purge_are_honoured_at_once(cast: Cast, index: ResidentIndex) -> None:
    ids, codes = works_with_codes(cast, 3)
    assert found(index, codes[1]) == [ids[1]]
    chosen = Work.objects.filter(pk=ids[1])
    deletion = works_delete(works=chosen, organisation=cast.organisation, label="one", actor=cast.owner)
    assert found(index, codes[1]) == []
    assert len(found(index, codes[1], BITS)) == 2
    works_restore(deletion=deletion, actor=cast.owner)
    assert found(index, codes[1]) == [ids[1]]
    chosen.delete()
    assert found(index, codes[1]) == []
    assert set(found(index, codes[1], BITS)) == {ids[0], ids[2]}


def test_a_work_deleted_before_the_table_was_read_is_found_once_it_is_restored(
    cast: Cast, index: ResidentIndex
) -> None:
    (work,), (code,) = works_with_codes(cast, 1)
    chosen = Work.objects.filter(pk=work)
    deletion = works_delete(works=chosen, organisation=cast.organisation, label="one", actor=cast.owner)
    assert found(index, code) == []
    works_restore(deletion=deletion, actor=cast.owner)
    assert found(index, code) == [work]


def test_a_code_that_is_replaced_is_found_where_it_is_now(cast: Cast, index: ResidentIndex) -> None:
    (work,), (old,) = works_with_codes(cast, 1)
    assert found(index, old) == [work]
    new = flipped(old, range(30))
    Fingerprint.objects.filter(work=work).update(hash64=new.bitstring())
    assert found(index, old) == []
    (candidate,) = index.search([old, new], BITS)
    assert (candidate.id, candidate.distance, candidate.variant) == (work, 0, 1)
    assert [each.distance for each in index.search(old, BITS, 1)] == [30]


def test_a_code_that_changes_during_a_search_is_not_lost_while_it_is_within(
    cast: Cast, index: ResidentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work,), (code,) = works_with_codes(cast, 1)
    table = index.caught_up()

    def changed_after_it_was_read() -> Any:
        Fingerprint.objects.filter(work=work).update(hash64=flipped(code, range(10)).bitstring())
        return table

    monkeypatch.setattr(index, "caught_up", changed_after_it_was_read)
    assert [(each.id, each.distance) for each in index.search(code, 24, 1)] == [(work, 10)]


def test_filters_are_exact_and_those_left_out_take_nobodys_place(
    cast: Cast, index: ResidentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "_CONFIRM_AT_ONCE", 4)
    ids, codes = works_with_codes(cast, 60)
    Work.objects.filter(pk__in=ids[::2]).update(organisation=cast.elsewhere)
    Work.objects.filter(pk__in=ids[::3]).update(visibility=Visibility.RECORD_ONLY)
    Work.objects.filter(pk__in=ids[::5]).update(deleted_at="2020-01-01T00:00Z")
    live = [work for number, work in enumerate(ids) if number % 5]
    order = [each.id for each in SqlIndex(ALGORITHM, BITS).search(codes[:2], BITS)]
    assert set(order) == set(live)
    other = {work for work in live if ids.index(work) % 2 == 0}
    hidden = {work for work in live if ids.index(work) % 3 == 0}
    for asked in (index, SqlIndex(ALGORITHM, BITS)):
        for limit in (2, 9, None):
            by_organisation = asked.search(codes[:2], BITS, limit, organisation=cast.elsewhere.pk)
            assert [each.id for each in by_organisation] == [work for work in order if work in other][:limit]
            by_visibility = asked.search(codes[:2], BITS, limit, visibility=Visibility.RECORD_ONLY)
            assert [each.id for each in by_visibility] == [work for work in order if work in hidden][:limit]
            by_both = asked.search(
                codes[:2], BITS, limit, organisation=cast.elsewhere.pk, visibility=Visibility.RECORD_ONLY
            )
            assert [each.id for each in by_both] == [work for work in order if work in other & hidden][:limit]


def test_the_nearest_are_confirmed_first_and_only_as_many_as_are_asked_for(
    cast: Cast, index: ResidentIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resident, "_CONFIRM_AT_ONCE", 4)
    ids, codes = works_with_codes(cast, 200)
    Work.objects.filter(pk__in=ids[::3]).update(deleted_at="2020-01-01T00:00Z")
    expected = SqlIndex(ALGORITHM, BITS).search(codes[:2], BITS)
    assert len(expected) == 133
    for limit in (0, 1, 5, 50, 133, 500, None):
        assert index.search(codes[:2], BITS, limit) == expected[:limit]


def test_a_server_that_recovered_is_read_anew(cast: Cast, index: ResidentIndex) -> None:
    """After a crash PostgreSQL may give numbers of transactions again; then a snapshot of before means nothing."""
    (work,), (code,) = works_with_codes(cast, 1)
    first = index.caught_up()
    assert index.caught_up() is first
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_reset_shared('bgwriter')")
    assert index.caught_up() is not first
    assert found(index, code) == [work]


def test_rows_restored_from_another_server_are_found_and_read_once(cast: Cast, index: ResidentIndex) -> None:
    """A dump brings numbers of transactions that this server has yet to give."""
    (work,), (code,) = works_with_codes(cast, 1)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE registry_fingerprint DISABLE TRIGGER USER")
        cursor.execute("UPDATE registry_fingerprint SET changed = '99999999999'")
        cursor.execute("ALTER TABLE registry_fingerprint ENABLE TRIGGER USER")
    assert found(index, code) == [work]
    works_with_codes(cast, 1, seed=2)
    table = index.caught_up()
    assert table is not None
    assert len(table) == 2


def test_one_function_decides_who_answers(cast: Cast, index: ResidentIndex, settings: LazySettings) -> None:
    works_with_codes(cast, 20)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE registry_fingerprint")
    assert registry_index(ALGORITHM, BITS) is index
    settings.SEARCH_RESIDENT_ROWS = 20
    assert registry_index(ALGORITHM, BITS) is index
    settings.SEARCH_RESIDENT_ROWS = 21
    assert isinstance(registry_index(ALGORITHM, BITS), SqlIndex)
    settings.SEARCH_RESIDENT_ROWS = 0
    with transaction.atomic():
        assert isinstance(registry_index(ALGORITHM, BITS), SqlIndex)
        with pytest.raises(RuntimeError, match="transaction"):
            index.search([], 0)
    with pytest.raises(KeyError):
        registry_index("odd-v1", 72)


def test_what_does_not_fit_is_searched_in_sql(
    cast: Cast, index: ResidentIndex, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, codes = works_with_codes(cast, 10)
    row = CodeTable.row_bytes(BITS)
    settings.SEARCH_MEMORY_BYTES = 10 * row
    assert found(index, codes[0]) == [ids[0]]
    assert index.bytes_used == 10 * row
    (more,), (code,) = works_with_codes(cast, 1, seed=2)
    assert found(index, code) == [more]
    assert index.bytes_used == 0
    assert index.search(codes, BITS, 5) == SqlIndex(ALGORITHM, BITS).search(codes, BITS, 5)
    settings.SEARCH_MEMORY_BYTES = 11 * row
    monkeypatch.setattr(resident, "_REFUSED_SECONDS", 0.0)
    index.forget()
    assert found(index, code) == [more]
    assert index.bytes_used == 11 * row
    # The limit is for all algorithms together.
    other = resident_index("pdq-v1", 256)
    (wide,) = random_codes(1, "pdq-v1", 256, 1)
    SqlIndex("pdq-v1", 256).add([more], [wide])
    assert found(other, wide) == [more]
    assert other.bytes_used == 0


_ASKER = """
import os, sys, django
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.worker_settings"
django.setup()
from provenance.hashing.code import HashCode
from webapp.registry.resident import ResidentIndex
index = ResidentIndex(sys.argv[1], int(sys.argv[2]))
for line in sys.stdin:
    print(*[found.id for found in index.search(HashCode.from_hex(sys.argv[1], line.strip()), 3)], flush=True)
"""


class Asker:
    """A process with an index of its own."""

    def __init__(self, folder: Path) -> None:
        name = connection.settings_dict["NAME"]
        environment = {**os.environ, "TEST_DATABASE": str(name), "TEST_MEDIA": str(folder)}
        command = [sys.executable, "-c", _ASKER, ALGORITHM, str(BITS)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)

    def found(self, code: HashCode) -> list[uuid.UUID]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(code.hex, file=self.process.stdin, flush=True)
        return [uuid.UUID(word) for word in self.process.stdout.readline().split()]


@pytest.fixture
def start_asker(tmp_path: Path) -> Iterator[Callable[[], Asker]]:
    started: list[Asker] = []

    def start() -> Asker:
        started.append(Asker(tmp_path))
        return started[-1]

    yield start
    for asker in started:
        asker.process.kill()
        asker.process.communicate()


def test_processes_see_what_others_commit_and_one_that_is_killed_leaves_nothing(
    cast: Cast, index: ResidentIndex, start_asker: Callable[[], Asker]
) -> None:
    ids, codes = works_with_codes(cast, 50)
    first, second = start_asker(), start_asker()
    assert first.found(codes[7]) == second.found(codes[7]) == found(index, codes[7]) == [ids[7]]
    (new,), (code,) = works_with_codes(cast, 1, seed=2)
    assert first.found(code) == [new]
    os.kill(first.process.pid, signal.SIGKILL)
    Work.objects.filter(pk=ids[7]).delete()
    assert second.found(codes[7]) == []
    assert second.found(code) == [new]
    third = start_asker()
    assert third.found(code) == [new]
    assert third.found(codes[7]) == []
    assert third.found(codes[8]) == [ids[8]]


def test_the_audit_finds_a_corrupted_index_and_has_it_read_anew(
    cast: Cast, index: ResidentIndex, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = dict(zip(*works_with_codes(cast, 60), strict=True))
    victim = sorted(stored)[25]  # They are stored in the order of works' ids.
    sound = index_audit(ALGORITHM, BITS, 6)
    assert sound is not None
    assert (sound.entries, sound.asked, sound.missed) == (60, 120, 0)
    table = index.caught_up()
    assert table is not None
    table._chunks[0].columns[1][20:30] ^= 0xFFFFFFFF
    assert found(index, stored[victim]) == [], "the corruption is real"
    # Another process's index, which the audit did not touch.
    other = ResidentIndex(ALGORITHM, BITS)
    before = other.caught_up()
    monkeypatch.setattr(logging.getLogger("webapp"), "propagate", True)
    with caplog.at_level(logging.ERROR):
        audit = index_audit(ALGORITHM, BITS, 6)
    assert audit is not None
    assert audit.missed == 10
    assert "missed 10 works" in caplog.text
    assert found(index, stored[victim]) == [victim]
    assert other.caught_up() is not before
    page = cast.client("superuser").get(reverse("admin:registry_searchaudit_changelist"))
    assert page.status_code == 200
    assert b"10" in page.content


def test_the_audit_finds_an_entry_that_is_lacking_by_what_sql_finds(cast: Cast, index: ResidentIndex) -> None:
    """A work that is not sampled is missed too, where it is near one for which SQL is asked."""
    ids, codes = works_with_codes(cast, 2)
    SqlIndex(ALGORITHM, BITS).add(ids, [codes[0], codes[0]])
    table = index.caught_up()
    assert table is not None
    table._chunks[0].used -= 1
    audit = index_audit(ALGORITHM, BITS, 6)
    assert audit is not None
    assert audit.missed == 1


def test_each_night_has_one_audit(cast: Cast, settings: LazySettings) -> None:
    works_with_codes(cast, 3)
    settings.WORKERS = 2
    settings.SEARCH_RESIDENT_ROWS = 1_000_000
    assert audits_begin() == 0
    settings.SEARCH_RESIDENT_ROWS = 0
    assert audits_begin() == 2
    assert audits_begin() == 0
    for job in Job.objects.filter(kind=KIND):
        execute(str(job.pk))
        job.refresh_from_db()
        assert job.state == JobState.SUCCEEDED
    assert SearchAudit.objects.filter(algorithm=ALGORITHM, entries=3, missed=0).count() == 2

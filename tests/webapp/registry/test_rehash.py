"""Works registered before an algorithm get its hashes, once each, whatever stops the job."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from provenance.hashing.descriptor import CROPS, DESCRIPTOR
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import decode
from tests.webapp.conftest import Cast
from tests.webapp.pictures import flat_png, jpeg
from webapp import files
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.registry import rehash
from webapp.registry.models import Fingerprint, Rehash, Work
from webapp.registry.rehash import rehashes_begin
from webapp.registry.services import WorkDetails, work_draft, works_register

ALGORITHM = "phash-v1"

pytestmark = pytest.mark.django_db


def register_before(cast: Cast, *pictures: bytes, algorithm: str = ALGORITHM) -> list[Work]:
    """Register pictures as a program does that does not know the algorithm yet."""
    others = [hasher for name, hasher in HASHERS.items() if name != algorithm]
    done = {*HASHERS, DESCRIPTOR.algorithm} - {algorithm}
    Rehash.objects.bulk_create(Rehash(algorithm=each, finished_at=timezone.now()) for each in done)
    drafts = []
    for data in pictures:
        picture = decode(data)
        prints = [hasher.hash([picture.pixels])[0] for hasher in others]
        details = WorkDetails(title="old")
        drafts.append(work_draft(data=data, picture=picture, fingerprints=prints, descriptors=None, details=details))
    made = works_register(organisation=cast.organisation, drafts=drafts, registered_by=None)
    return [registration.work for registration in made if registration.work is not None]


def run_to_the_end(algorithm: str = ALGORITHM) -> Rehash:
    row = Rehash.objects.get(pk=algorithm)
    assert row.job_id is not None
    while Job.objects.get(pk=row.job_id).state == JobState.QUEUED:
        execute(str(row.job_id))
    row.refresh_from_db()
    return row


def test_an_empty_registry_owes_nothing() -> None:
    assert rehashes_begin() == 0
    assert {row.algorithm for row in Rehash.objects.all()} == {*HASHERS, DESCRIPTOR.algorithm}
    assert not Rehash.objects.filter(finished_at=None).exists()
    assert not Job.objects.exists()


def test_old_works_get_the_new_hash(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehash, "BATCH", 2)
    monkeypatch.setattr(rehash, "SLICE_SECONDS", 0)
    works = register_before(cast, *(jpeg(seed) for seed in range(5)), flat_png())
    files.delete(Area.WORKS, works[0].sha256)
    assert rehashes_begin() == 1
    assert rehashes_begin() == 0  # it is on its way
    row = run_to_the_end()
    assert row.finished_at is not None
    assert (row.hashed, row.too_simple, row.unreadable) == (4, 1, 1)
    hashed = dict(Fingerprint.objects.filter(algorithm=ALGORITHM).values_list("work", "hash64"))
    assert set(hashed) == {work.pk for work in works[1:5]}
    (expected,) = HASHERS[ALGORITHM].hash([decode(jpeg(1)).pixels])
    assert hashed[works[1].pk] == expected.code.bitstring()
    assert rehashes_begin() == 0


def test_old_works_get_descriptors(cast: Cast) -> None:
    (work, _flat) = register_before(cast, jpeg(1), flat_png(), algorithm=DESCRIPTOR.algorithm)
    assert rehashes_begin() == 1
    row = run_to_the_end(DESCRIPTOR.algorithm)
    assert (row.hashed, row.too_simple) == (1, 1)
    expected = DESCRIPTOR.describe_crops(decode(jpeg(1)).pixels)
    assert expected is not None
    found = {each.crop: each.vector for each in work.descriptors.all()}
    assert list(found) == list(range(len(CROPS)))
    for crop, vector in found.items():
        assert vector == pytest.approx(expected[crop], abs=1e-3)


def test_a_process_killed_before_it_wrote_leaves_the_batch_to_the_next(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehash, "BATCH", 2)
    register_before(cast, *(jpeg(seed) for seed in range(4)))
    rehashes_begin()
    real = rehash.hold_claim
    calls = 0

    def dies(**arguments: Any) -> None:
        nonlocal calls
        calls += 1
        real(**arguments)
        if calls == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(rehash, "hold_claim", dies)
    row = Rehash.objects.get(pk=ALGORITHM)
    with pytest.raises(KeyboardInterrupt):
        execute(str(row.job_id))
    row.refresh_from_db()
    assert row.hashed == 2
    Job.objects.update(state=JobState.QUEUED)
    assert run_to_the_end().hashed == 4
    assert Fingerprint.objects.filter(algorithm=ALGORITHM).count() == 4


def test_a_job_that_failed_is_followed_by_another(cast: Cast) -> None:
    register_before(cast, jpeg(1))
    rehashes_begin()
    Job.objects.update(state=JobState.FAILED, updated_at=timezone.now(), finished_at=timezone.now())
    assert rehashes_begin() == 0
    Job.objects.update(updated_at=timezone.now() - timedelta(hours=2))
    assert rehashes_begin() == 1
    assert run_to_the_end().hashed == 1


def test_codes_of_an_earlier_algorithm_are_searched_until_every_work_has_the_new_one(cast: Cast) -> None:
    from provenance.hashing.hasher import RETIRED
    from webapp.registry.fingerprints import hashers_searched
    from webapp.registry.services import fingerprint_row

    ((earlier, retired),) = RETIRED.items()
    assert list(hashers_searched()) == [*HASHERS]
    (work,) = register_before(cast, jpeg(), algorithm=retired.successor)
    (old,) = retired.hasher.hash([decode(files.read(Area.WORKS, work.sha256)).pixels])
    fingerprint_row(work, old).save()
    assert list(hashers_searched()) == [earlier, *HASHERS]
    rehashes_begin()
    run_to_the_end(retired.successor)
    assert list(hashers_searched()) == [*HASHERS]
    assert Fingerprint.objects.filter(work=work, algorithm=retired.successor).exists()

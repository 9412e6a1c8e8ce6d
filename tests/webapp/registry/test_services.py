"""Registering works: once each, within the quota, with their files and fingerprints."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.template.defaultfilters import filesizeformat

from provenance.hashing.hasher import HASHERS
from provenance.images.decode import decode
from tests.webapp.conftest import Cast
from tests.webapp.pictures import flat_png, jpeg, png
from webapp import files
from webapp.accounts.models import AuditEntry, Organisation
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.registry.fingerprints import descriptors_of, fingerprints_of
from webapp.registry.models import Fingerprint, Work
from webapp.registry.services import (
    Outcome,
    WorkDetails,
    WorkDraft,
    work_draft,
    work_register,
    works_delete,
    works_register,
    works_restore,
)
from webapp.registry.storage import files_remove_unused, files_sweep, hold_files, storage_used


def draft(data: bytes, title: str = "A picture") -> WorkDraft:
    picture = decode(data)
    return work_draft(
        data=data,
        picture=picture,
        fingerprints=fingerprints_of(picture.pixels),
        descriptors=descriptors_of(picture.pixels),
        details=WorkDetails(title=title),
    )


def register(organisation: Organisation, data: bytes, **details: Any) -> tuple[Work, bool]:
    picture = decode(data)
    return work_register(
        organisation=organisation,
        picture=picture,
        data=data,
        fingerprints=fingerprints_of(picture.pixels),
        descriptors=descriptors_of(picture.pixels),
        registered_by=None,
        **{"title": "A picture", **details},
    )


@pytest.mark.django_db
def test_it_works(cast: Cast) -> None:
    data = jpeg(1)
    work, created = register(cast.organisation, data, creator="Ada", external_id="7")
    assert created
    work.refresh_from_db()
    assert (work.creator, work.external_id, work.byte_size) == ("Ada", "7", len(data))
    assert files.read(Area.WORKS, work.sha256) == data
    picture = decode(data)
    for row in work.fingerprints.all():
        (expected,) = HASHERS[row.algorithm].hash([picture.pixels])
        assert row.bits == expected.code.bitstring()
        assert row.quality == pytest.approx(expected.quality)
    assert AuditEntry.objects.filter(verb="work.registered").count() == 1


@pytest.mark.django_db
def test_the_same_bytes_or_pixels_are_registered_once(cast: Cast) -> None:
    work, created = register(cast.organisation, png(1))
    for again in (png(1), png(1, compress_level=1)):
        assert register(cast.organisation, again, title="Another") == (work, False)
    assert created
    assert Work.objects.count() == 1
    assert Fingerprint.objects.count() == len(HASHERS)
    assert AuditEntry.objects.filter(verb="work.registered").count() == 1


@pytest.mark.django_db
def test_the_oldest_twin_is_named(cast: Cast) -> None:
    first, _created = register(cast.organisation, png(1))
    second, _created = register(cast.organisation, png(2))
    Work.objects.filter(pk=second.pk).update(pixel_sha256=first.pixel_sha256)
    assert register(cast.organisation, png(1, compress_level=1))[0] == first


@pytest.mark.django_db
def test_many_at_once_with_twins_among_them(cast: Cast) -> None:
    drafts = [draft(png(1), "one"), draft(png(1, compress_level=1)), draft(png(1)), draft(jpeg(2), "two")]
    results = works_register(organisation=cast.organisation, drafts=drafts, registered_by=cast.owner)
    assert [result.outcome for result in results] == [
        Outcome.REGISTERED,
        Outcome.SAME_PIXELS,
        Outcome.SAME_BYTES,
        Outcome.REGISTERED,
    ]
    assert results[0].work == results[1].work == results[2].work
    assert set(Work.objects.values_list("title", flat=True)) == {"one", "two"}


@pytest.mark.django_db
def test_nothing_at_all(cast: Cast) -> None:
    assert works_register(organisation=cast.organisation, drafts=[], registered_by=None) == []


@pytest.mark.django_db
def test_the_quota_names_what_is_used_and_the_limit(cast: Cast) -> None:
    limit = cast.organisation.storage_quota_bytes = len(jpeg(1)) + 100
    cast.organisation.save()
    register(cast.organisation, jpeg(1))
    used = storage_used(cast.organisation)
    assert used == len(jpeg(1))
    with pytest.raises(ProductError) as refused:
        register(cast.organisation, jpeg(2))
    assert refused.value.code == ErrorCode.QUOTA_EXCEEDED
    assert f"The Archive uses {filesizeformat(used)} of its {filesizeformat(limit)}" in str(refused.value.message)
    assert Work.objects.count() == 1
    register(cast.elsewhere, jpeg(2))


@pytest.mark.django_db
def test_what_is_deleted_counts_until_it_is_purged(cast: Cast) -> None:
    register(cast.organisation, jpeg(1))
    works_delete(works=Work.objects.all(), organisation=cast.organisation, label="x", actor=cast.owner)
    assert storage_used(cast.organisation) == len(jpeg(1))


@pytest.mark.django_db
def test_too_simple_pictures_have_no_fingerprints(cast: Cast) -> None:
    work, created = register(cast.organisation, flat_png())
    assert created
    assert not work.fingerprints.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("details", [{"title": ""}, {"title": "x" * 201}, {"source_url": "javascript:1"}])
def test_details_that_do_not_fit_register_nothing(cast: Cast, details: dict[str, str]) -> None:
    with pytest.raises(ValidationError), transaction.atomic():
        register(cast.organisation, jpeg(1), **details)
    assert Work.objects.count() == 0


@pytest.mark.django_db
def test_deleting_stays_within_the_organisation(cast: Cast) -> None:
    register(cast.organisation, jpeg(1))
    register(cast.elsewhere, jpeg(1))
    deletion = works_delete(works=Work.objects.all(), organisation=cast.organisation, label="all", actor=cast.owner)
    assert deletion.count == 1
    assert Work.objects.live().get().organisation == cast.elsewhere
    assert works_restore(deletion=deletion, actor=cast.owner) == (1, 0)
    assert Work.objects.live().count() == 2


@pytest.mark.django_db
def test_files_that_no_work_uses_are_swept_once_they_are_old(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    work, _created = register(cast.organisation, jpeg(1))
    orphan = "ab" * 32
    files.write(Area.WORKS, orphan, b"x")
    files_sweep()
    assert files.path_of(Area.WORKS, orphan).exists()
    cache.clear()
    monkeypatch.setattr("webapp.registry.storage._ORPHAN_SECONDS", -10.0)
    files_sweep()
    assert list(files.keys_older_than(Area.WORKS, -10)) == [work.sha256]


@pytest.mark.django_db(transaction=True)
def test_a_file_is_not_removed_between_its_writing_and_its_row(cast: Cast) -> None:
    """The removal waits for the registration that is under way, and then finds its row."""
    data, written, may_commit = jpeg(1), threading.Event(), threading.Event()
    registered = draft(data)

    def register_slowly() -> None:
        with transaction.atomic():
            works_register(organisation=cast.organisation, drafts=[registered], registered_by=None)
            written.set()
            may_commit.wait(30)
        connection.close()

    def remove() -> None:
        files_remove_unused({registered.sha256})
        connection.close()

    slow = threading.Thread(target=register_slowly)
    slow.start()
    assert written.wait(30)
    remover = threading.Thread(target=remove)
    remover.start()
    remover.join(0.3)
    assert remover.is_alive(), "the removal did not wait"
    may_commit.set()
    slow.join(30)
    remover.join(30)
    assert files.read(Area.WORKS, registered.sha256) == data


@pytest.mark.django_db(transaction=True)
def test_two_at_once_register_a_picture_once(cast: Cast) -> None:
    start = threading.Barrier(2)
    drafts = [draft(png(1)), draft(png(1, compress_level=1))]
    outcomes: list[Outcome] = []

    def run(one: WorkDraft) -> None:
        start.wait(30)
        (result,) = works_register(organisation=cast.organisation, drafts=[one], registered_by=None)
        outcomes.append(result.outcome)
        connection.close()

    threads = [threading.Thread(target=run, args=(one,)) for one in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == [Outcome.REGISTERED, Outcome.SAME_PIXELS]
    assert Work.objects.count() == 1


@pytest.mark.django_db
def test_holding_files_needs_a_transaction_only(cast: Cast) -> None:
    """Two who register hold the files at once; only a removal waits."""
    with transaction.atomic():
        hold_files()
        hold_files()

"""Deleting and undoing: a picture, several, an import, a catalogue; and what is purged in the end."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from tests.webapp.catalogues.conftest import import_files, rows, sent
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.catalogues.imports import import_create, import_delete
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem, ImportRow
from webapp.catalogues.services import catalogue_create, catalogue_delete, deletion_undo, items_delete
from webapp.catalogues.uploads import catalogues_purge, uploads_expire, uploads_sweep
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.management.commands.worker import HOUSEKEEPING
from webapp.jobs.models import Job
from webapp.jobs.services import job_cancel
from webapp.registry.models import Deletion, Visibility, Work
from webapp.registry.storage import works_purge

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled(catalogue: Catalogue) -> CatalogueImport:
    """Return an import of three pictures."""
    return import_files(catalogue, {f"{n}.jpg": jpeg(n) for n in range(3)})


def live() -> set[str]:
    return set(Work.objects.live().values_list("title", flat=True))


def item(name: str) -> CatalogueItem:
    return CatalogueItem.objects.get(filename=name)


def later(settings: Any, *, hours: float) -> None:
    """Let what was deleted have been deleted so much earlier."""
    shift = timedelta(hours=hours)
    for row in Deletion.objects.all():
        Deletion.objects.filter(pk=row.pk).update(created_at=row.created_at - shift)
    for model in (Work, Catalogue):
        for found in model.objects.exclude(deleted_at=None):
            model.objects.filter(pk=found.pk).update(deleted_at=found.deleted_at - shift)


def test_it_works_with_buttons(cast: Cast, filled: CatalogueImport) -> None:
    client = cast.client("colleague")
    detail = reverse("catalogues:detail", args=[filled.catalogue_id])
    answer = client.post(
        reverse("catalogues:items", args=[filled.catalogue_id]),
        {"action": "delete", "items": [item("0.jpg").pk, item("1.jpg").pk]},
    )
    assert live() == {"2"}
    page = client.get(answer["Location"]).content.decode()
    deletion = Deletion.objects.get()
    undo = reverse("catalogues:undo", args=[deletion.pk])
    assert "2 pictures from “Prints”" in page
    assert undo in page
    assert undo not in cast.client("viewer").get(answer["Location"]).content.decode()
    assert client.get(reverse("catalogues:item", args=[item("0.jpg").pk])).status_code == 404
    lately = client.get(detail, {"state": "deleted"}).content.decode()
    assert "0.jpg" in lately
    assert "2.jpg" not in lately
    assert client.post(undo, {"next": detail})["Location"] == detail
    assert live() == {"0", "1", "2"}
    assert undo not in client.get(detail).content.decode()
    assert "undone already" in client.post(undo, follow=True).content.decode()
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert {"works.deleted", "works.restored"} <= verbs


def test_undo_never_leads_elsewhere(cast: Cast, filled: CatalogueImport) -> None:
    deletion = items_delete(catalogue=filled.catalogue, item_ids=[item("0.jpg").pk], actor=cast.owner)
    answer = cast.client("owner").post(
        reverse("catalogues:undo", args=[deletion.pk]), {"next": "https://evil.example/"}
    )
    assert answer["Location"] == reverse("catalogues:list")


@pytest.mark.parametrize("deleted", ["", "x", str(uuid.UUID(int=7))])
def test_a_banner_needs_a_deletion(cast: Cast, filled: CatalogueImport, deleted: str) -> None:
    page = cast.client("owner").get(reverse("catalogues:list"), {"deleted": deleted})
    assert page.status_code == 200
    assert page.context["just_deleted"] is None


def test_the_banner_is_not_for_outsiders(cast: Cast, filled: CatalogueImport) -> None:
    deletion = items_delete(catalogue=filled.catalogue, item_ids=[item("0.jpg").pk], actor=cast.owner)
    page = cast.client("outsider").get(reverse("catalogues:list"), {"deleted": str(deletion.pk)})
    assert page.context["just_deleted"] is None


def test_an_import_is_deleted_as_a_whole(cast: Cast, filled: CatalogueImport) -> None:
    more = import_files(filled.catalogue, {"0-again.jpg": jpeg(0), "9.jpg": jpeg(9)})
    client = cast.client("owner")
    answer = client.post(reverse("catalogues:import-delete", args=[more.pk]))
    # The duplicate's work belongs to the earlier import and stays.
    assert live() == {"0", "1", "2"}
    page = client.get(answer["Location"]).content.decode()
    assert "Undo" in page
    assert "Delete what it registered" not in page
    deletion_undo(deletion=Deletion.objects.get(), actor=cast.owner)
    assert live() == {"0", "1", "2", "9"}


def test_a_running_import_is_not_deleted(cast: Cast, catalogue: Catalogue) -> None:
    made = import_create(catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], started_by=None)
    with pytest.raises(ProductError, match="still running"):
        import_delete(catalogue_import=made, actor=cast.owner)


def test_a_catalogue_is_deleted_and_comes_back_whole(cast: Cast, filled: CatalogueImport) -> None:
    client = cast.client("owner")
    first = items_delete(catalogue=filled.catalogue, item_ids=[item("0.jpg").pk], actor=cast.owner)
    answer = client.post(reverse("catalogues:delete", args=[filled.catalogue_id]))
    assert live() == set()
    page = client.get(answer["Location"]).content.decode()
    assert "Catalogue “Prints”" in page
    with pytest.raises(ProductError, match="Undo that first"):
        deletion_undo(deletion=first, actor=cast.owner)
    first.refresh_from_db()
    assert first.restored_at is None
    whole = Deletion.objects.get(label__startswith="Catalogue")
    client.post(reverse("catalogues:undo", args=[whole.pk]))
    assert live() == {"1", "2"}
    assert Catalogue.objects.live().get() == filled.catalogue
    deletion_undo(deletion=first, actor=cast.owner)
    assert live() == {"0", "1", "2"}


def test_a_catalogue_whose_name_was_taken_cannot_come_back(cast: Cast, filled: CatalogueImport) -> None:
    deletion = catalogue_delete(catalogue=filled.catalogue, actor=cast.owner)
    other = catalogue_create(
        organisation=cast.organisation, name="Prints", visibility=Visibility.PUBLIC, actor=cast.owner
    )
    with pytest.raises(ProductError, match="another name first") as refused:
        deletion_undo(deletion=deletion, actor=cast.owner)
    assert refused.value.code == ErrorCode.CONFLICT
    catalogue_delete(catalogue=other, actor=cast.owner)
    assert deletion_undo(deletion=deletion, actor=cast.owner) == (3, 0)


def test_what_was_registered_anew_stays_once(cast: Cast, filled: CatalogueImport) -> None:
    deletion = import_delete(catalogue_import=filled, actor=cast.owner)
    import_files(filled.catalogue, {"new.jpg": jpeg(0)})
    page = cast.client("owner").post(reverse("catalogues:undo", args=[deletion.pk]), follow=True).content.decode()
    assert "2 pictures are registered again" in page
    assert "1 picture is not" in page
    assert live() == {"new", "1", "2"}


def test_deleting_twice_is_refused(cast: Cast, filled: CatalogueImport) -> None:
    chosen = [item("0.jpg").pk]
    items_delete(catalogue=filled.catalogue, item_ids=chosen, actor=cast.owner)
    with pytest.raises(ProductError):
        items_delete(catalogue=filled.catalogue, item_ids=chosen, actor=cast.owner)
    catalogue_delete(catalogue=filled.catalogue, actor=cast.owner)
    with pytest.raises(ProductError) as refused:
        catalogue_delete(catalogue=filled.catalogue, actor=cast.owner)
    assert refused.value.code == ErrorCode.GONE


def test_what_is_deleted_too_long_ago_is_purged(cast: Cast, filled: CatalogueImport, settings: Any) -> None:
    found = rows(filled)
    deletion = items_delete(catalogue=filled.catalogue, item_ids=[item("0.jpg").pk], actor=cast.owner)
    later(settings, hours=settings.UNDO_HOURS - 1)
    assert works_purge() == 0
    later(settings, hours=2)
    deletion.refresh_from_db()
    with pytest.raises(ProductError, match="is over") as refused:
        deletion_undo(deletion=deletion, actor=cast.owner)
    assert refused.value.code == ErrorCode.GONE
    assert works_purge() == 1
    assert set(Work.objects.values_list("title", flat=True)) == {"1", "2"}
    assert CatalogueItem.objects.count() == 2
    assert Deletion.objects.count() == 0
    for name, kept in (("0.jpg", False), ("1.jpg", True)):
        sha256 = found[name].sha256
        assert files.path_of(Area.WORKS, sha256).exists() is kept
        assert files.path_of(Area.DERIVED, f"{sha256}-thumb.jpg").exists() is kept
    gone = ImportRow.objects.get(filename="0.jpg")
    assert (gone.state, gone.work) == ("registered", None)
    page = cast.client("owner").get(reverse("catalogues:import", args=[filled.pk])).content.decode()
    assert "deleted" in page


def test_a_file_that_others_registered_stays(cast: Cast, filled: CatalogueImport, settings: Any) -> None:
    other = catalogue_create(
        organisation=cast.elsewhere, name="Prints", visibility=Visibility.PUBLIC, actor=cast.outsider
    )
    import_files(other, {"0.jpg": jpeg(0)})
    catalogue_delete(catalogue=filled.catalogue, actor=cast.owner)
    later(settings, hours=settings.UNDO_HOURS + 1)
    assert works_purge() == 3
    work = Work.objects.get()
    assert files.read(Area.WORKS, work.sha256) == jpeg(0)


def test_a_deleted_catalogue_is_purged_with_its_imports(cast: Cast, filled: CatalogueImport, settings: Any) -> None:
    waiting = import_create(catalogue=filled.catalogue, files=[sent("z.jpg", jpeg(8))], started_by=None)
    (key,) = waiting.rows.values_list("file_key", flat=True)
    catalogue_delete(catalogue=filled.catalogue, actor=cast.owner)
    assert catalogues_purge() == 0
    later(settings, hours=settings.UNDO_HOURS + 1)
    assert catalogues_purge() == 1
    assert works_purge() == 3
    for model in (Catalogue, CatalogueImport, ImportRow, CatalogueItem, Work, Job):
        assert not model.objects.exists(), model
    assert not files.path_of(Area.IMPORTS, key).exists()


def test_uploads_expire_once_their_import_is_long_over(cast: Cast, catalogue: Catalogue, settings: Any) -> None:
    made = import_create(catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], started_by=None)
    (key,) = made.rows.values_list("file_key", flat=True)
    Job.objects.update(created_at=timezone.now() - timedelta(hours=settings.UNDO_HOURS + 9))
    assert uploads_expire() == 0
    job_cancel(job=made.job)
    assert uploads_expire() == 0
    Job.objects.update(finished_at=timezone.now() - timedelta(hours=settings.UNDO_HOURS + 1))
    assert uploads_expire() == 1
    assert not files.path_of(Area.IMPORTS, key).exists()
    assert uploads_expire() == 0


def test_uploads_that_no_import_knows_are_swept(
    cast: Cast, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = import_create(
        catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], table=sent("t.csv", b"filename\n"), started_by=None
    )
    known = {made.csv_key, *made.rows.values_list("file_key", flat=True)}
    orphan = uuid.uuid4().hex
    files.write(Area.IMPORTS, orphan, b"x")
    half = files.path_of(Area.IMPORTS, orphan).with_name(".writing-x")
    half.write_bytes(b"x")
    uploads_sweep()
    assert files.path_of(Area.IMPORTS, orphan).exists(), "it may be somebody's who is just uploading"
    uploads_sweep()
    monkeypatch.setattr("webapp.catalogues.uploads._ORPHAN_SECONDS", -10.0)
    cache.clear()
    uploads_sweep()
    assert set(files.keys_older_than(Area.IMPORTS, -10)) == known
    assert not half.exists()


def test_the_worker_does_the_tidying() -> None:
    assert {works_purge, catalogues_purge, uploads_expire, uploads_sweep} <= set(HOUSEKEEPING)

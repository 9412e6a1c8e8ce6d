"""Imports: what is registered, what is refused, what is named a duplicate."""

from __future__ import annotations

import pytest

from tests.webapp.catalogues.conftest import finish, import_files, import_zip, rows, sent
from tests.webapp.pictures import flat_png, jpeg, pixels_of, png, zip_of
from webapp.accounts.models import AuditEntry
from webapp.catalogues.imports import import_create
from webapp.catalogues.models import Catalogue, RowState
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db


def test_it_works(catalogue: Catalogue) -> None:
    table = (
        "filename,title,creator,licence,source_url,external_id\r\n"
        'a.jpg,"Sea, at night",Ada,CC-BY-4.0,https://example.org/a,X-1\r\n'
    )
    data = zip_of({"prints/a.jpg": jpeg(1), "prints/b.png": png(2), "catalogue.csv": table.encode()})
    done = import_zip(catalogue, data)
    assert done.job.state == "succeeded", done.job.error_message
    assert {path: row.state for path, row in rows(done).items()} == {
        "prints/a.jpg": RowState.REGISTERED,
        "prints/b.png": RowState.REGISTERED,
    }
    work = Work.objects.get(catalogue_item__filename="a.jpg")
    assert (work.title, work.creator, work.licence) == ("Sea, at night", "Ada", "CC-BY-4.0")
    assert (work.source_url, work.external_id) == ("https://example.org/a", "X-1")
    assert (work.width, work.height, work.media_type) == (160, 120, "image/jpeg")
    assert set(work.fingerprints.values_list("algorithm", flat=True)) == {"pdq-v1", "phash-v1"}
    assert Work.objects.get(catalogue_item__filename="b.png").title == "b"
    assert AuditEntry.objects.filter(verb="import.finished", object_id=str(done.pk)).count() == 1
    assert done.upload_deleted_at is not None

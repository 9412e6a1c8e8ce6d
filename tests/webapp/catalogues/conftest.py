"""A catalogue to fill, and imports done in the test's own process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from django.core.files.base import ContentFile

from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg, png, zip_of
from webapp.catalogues.imports import import_create
from webapp.catalogues.models import Catalogue, CatalogueImport, ImportRow
from webapp.catalogues.services import catalogue_create
from webapp.jobs.runner import execute
from webapp.registry.models import Visibility


@pytest.fixture
def catalogue(cast: Cast) -> Catalogue:
    """Return an empty catalogue of the cast's organisation."""
    return catalogue_create(
        organisation=cast.organisation, name="Prints", visibility=Visibility.PUBLIC, actor=cast.owner
    )


def sent(name: str, data: bytes) -> ContentFile[bytes]:
    """Return a file as it comes out of a request."""
    return ContentFile(data, name=name)


def finish(catalogue_import: CatalogueImport) -> CatalogueImport:
    """Do an import's job to its end."""
    for _slice in range(100):
        execute(str(catalogue_import.job_id))
        catalogue_import.job.refresh_from_db()
        if catalogue_import.job.is_final:
            catalogue_import.refresh_from_db()
            return catalogue_import
    raise AssertionError("the import does not end")


def import_files(catalogue: Catalogue, members: Mapping[str, bytes], **options: Any) -> CatalogueImport:
    """Import files that were sent one by one, to the end."""
    uploads = [sent(name, data) for name, data in members.items()]
    return finish(import_create(catalogue=catalogue, files=uploads, started_by=None, **options))


def import_zip(catalogue: Catalogue, data: bytes, **options: Any) -> CatalogueImport:
    """Import an archive, to the end."""
    return finish(import_create(catalogue=catalogue, archive=sent("prints.zip", data), started_by=None, **options))


def rows(catalogue_import: CatalogueImport) -> dict[str, ImportRow]:
    """Return an import's rows by path."""
    return {row.path: row for row in catalogue_import.rows.order_by("-index")}


def states(catalogue_import: CatalogueImport) -> dict[str, tuple[str, str]]:
    """Return each row's state and code by path."""
    return {path: (row.state, row.code) for path, row in rows(catalogue_import).items()}


@pytest.fixture
def filled(catalogue: Catalogue) -> CatalogueImport:
    """Return an import that registered two pictures and refused a third."""
    table = "filename,title,creator,external_id\na.jpg,Sea at night,Ada,X-17\nb.png,Forest,Bob,\n"
    return import_zip(
        catalogue, zip_of({"a.jpg": jpeg(1), "b.png": png(2), "=c.txt": b"no", "t.csv": table.encode()})
    )

"""Dry runs, and the storage quota that they foretell."""

from __future__ import annotations

from typing import Any

import pytest

from tests.webapp.catalogues.conftest import finish, import_files, import_zip, rows, sent, states
from tests.webapp.conftest import Cast
from tests.webapp.pictures import flat_png, jpeg, png, zip_of
from webapp.accounts.models import AuditEntry
from webapp.catalogues import importer
from webapp.catalogues.imports import import_create, import_resume, import_run_for_real
from webapp.catalogues.models import Catalogue, RowState
from webapp.catalogues.selectors import import_can_resume
from webapp.catalogues.uploads import upload_delete
from webapp.errors import ErrorCode, ProductError
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db


# --- Quota ---


def test_the_quota_refuses_what_does_not_fit_and_can_be_tried_again(catalogue: Catalogue, cast: Cast) -> None:
    one, two = jpeg(1), jpeg(2)
    cast.organisation.storage_quota_bytes = len(one) + len(two) - 1
    cast.organisation.save()
    uploads = {"a.jpg": one}
    import_files(catalogue, uploads)
    done = import_files(catalogue, {"b.jpg": two, "a.jpg": one})
    assert states(done) == {
        "b.jpg": (RowState.FAILED, ErrorCode.QUOTA_EXCEEDED),
        "a.jpg": (RowState.DUPLICATE, "same_bytes"),
    }
    assert "The Archive uses" in rows(done)["b.jpg"].message
    assert import_can_resume(done)
    cast.organisation.storage_quota_bytes *= 2
    cast.organisation.save()
    done = finish(import_resume(catalogue_import=done, actor=cast.owner))
    assert states(done)["b.jpg"] == (RowState.REGISTERED, "")
    assert not import_can_resume(done)


def test_uploads_that_wait_have_a_limit(catalogue: Catalogue, cast: Cast, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = cast.organisation.storage_quota_bytes = int(1.5 * len(jpeg(1)))
    cast.organisation.save()
    import_create(catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], started_by=None)
    with pytest.raises(ProductError, match="wait to be imported") as refused:
        import_create(catalogue=catalogue, files=[sent("b.jpg", jpeg(2))], started_by=None)
    assert refused.value.code == ErrorCode.QUOTA_EXCEEDED


# --- Dry run ---


def test_a_dry_run_registers_nothing_and_then_does_without_a_second_upload(catalogue: Catalogue, cast: Cast) -> None:
    import_files(catalogue, {"old.png": png(9)})
    data = zip_of(
        {"a.png": png(1), "b.png": png(1, compress_level=1), "c.png": png(9), "d.txt": b"x", "flat.png": flat_png()}
    )
    dry = import_zip(catalogue, data, dry_run=True)
    assert states(dry) == {
        "a.png": (RowState.VALID, ""),
        "b.png": (RowState.DUPLICATE, "same_pixels"),
        "c.png": (RowState.DUPLICATE, "same_bytes"),
        "d.txt": (RowState.FAILED, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        "flat.png": (RowState.VALID, ""),
    }
    assert Work.objects.count() == 1
    assert AuditEntry.objects.filter(verb="import.checked").count() == 1
    predicted = {
        path: (RowState.REGISTERED if state == RowState.VALID else state, code)
        for path, (state, code) in states(dry).items()
    }
    real = finish(import_run_for_real(catalogue_import=dry, actor=cast.owner))
    assert states(real) == predicted
    assert Work.objects.count() == 3
    assert real.upload_deleted_at is not None
    with pytest.raises(ProductError, match="not a dry run"):
        import_run_for_real(catalogue_import=real, actor=cast.owner)


def test_a_dry_run_counts_the_quota(catalogue: Catalogue, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "CHUNK_ROWS", 1)
    sizes = len(jpeg(1)) + len(jpeg(2)) + len(jpeg(3))
    cast.organisation.storage_quota_bytes = sizes - 1
    cast.organisation.save()
    dry = import_files(catalogue, {"a.jpg": jpeg(1), "b.jpg": jpeg(2), "c.jpg": jpeg(3)}, dry_run=True)
    assert [state for state, _code in states(dry).values()].count(RowState.VALID) == 2
    assert states(dry)["c.jpg"] == (RowState.FAILED, ErrorCode.QUOTA_EXCEEDED)
    cast.organisation.storage_quota_bytes = sizes
    cast.organisation.save()
    real = finish(import_run_for_real(catalogue_import=dry, actor=cast.owner))
    assert states(real)["c.jpg"] == (RowState.REGISTERED, "")


def test_a_dry_run_whose_upload_is_gone_cannot_run(catalogue: Catalogue, cast: Cast) -> None:
    dry = import_files(catalogue, {"a.jpg": jpeg(1)}, dry_run=True)
    upload_delete(dry)
    with pytest.raises(ProductError, match="have been deleted") as refused:
        import_run_for_real(catalogue_import=dry, actor=cast.owner)
    assert refused.value.code == ErrorCode.GONE

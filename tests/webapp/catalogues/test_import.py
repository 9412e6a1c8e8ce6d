"""Imports: what is registered, what is refused, what is named a duplicate."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from PIL import ExifTags, Image

from provenance.hashing.hasher import HASHERS
from tests.webapp.catalogues.conftest import import_files, import_zip, rows, sent, states
from tests.webapp.conftest import Cast
from tests.webapp.pictures import flat_png, jpeg, png, zip_of
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.catalogues import importer
from webapp.catalogues.imports import import_create
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem, RowState
from webapp.catalogues.services import catalogue_create
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.registry.models import Visibility, Work

pytestmark = pytest.mark.django_db

HEADER = "filename,title,creator,licence,source_url,external_id\r\n"


def test_it_works(catalogue: Catalogue) -> None:
    table = HEADER + 'a.jpg,"Sea, at night",Ada,CC-BY-4.0,https://example.org/a,X-1\r\n'
    data = zip_of({"prints/a.jpg": jpeg(1), "prints/b.png": png(2), "catalogue.csv": table.encode()})
    done = import_zip(catalogue, data)
    assert done.job.state == JobState.SUCCEEDED, done.job.error_message
    assert states(done) == {
        "prints/a.jpg": (RowState.REGISTERED, ""),
        "prints/b.png": (RowState.REGISTERED, ""),
    }
    work = Work.objects.get(catalogue_item__filename="a.jpg")
    assert (work.title, work.creator, work.licence) == ("Sea, at night", "Ada", "CC-BY-4.0")
    assert (work.source_url, work.external_id) == ("https://example.org/a", "X-1")
    assert (work.width, work.height, work.media_type) == (160, 120, "image/jpeg")
    assert files.read(Area.WORKS, work.sha256) == jpeg(1)
    assert set(work.fingerprints.values_list("algorithm", flat=True)) == set(HASHERS)
    assert Work.objects.get(catalogue_item__filename="b.png").title == "b"
    assert AuditEntry.objects.filter(verb="import.finished", object_id=str(done.pk)).count() == 1
    assert done.upload_deleted_at is not None
    assert not files.path_of(Area.IMPORTS, done.upload_key).exists()


def test_files_with_a_table_beside_them(catalogue: Catalogue) -> None:
    table = HEADER + "b.png,Second,,,,\r\nc.png,Third,,,,\r\n,No name,,,,\r\n"
    done = import_files(catalogue, {"a.jpg": jpeg(1), "b.png": png(2)}, table=sent("t.csv", table.encode()))
    assert states(done) == {
        "a.jpg": (RowState.REGISTERED, ""),
        "b.png": (RowState.REGISTERED, ""),
        "c.png": (RowState.FAILED, ErrorCode.CSV_MISSING_FILE),
        "": (RowState.FAILED, ErrorCode.CSV_UNREADABLE),
    }
    assert "Line 3" in rows(done)["c.png"].message
    assert set(Work.objects.values_list("title", flat=True)) == {"a", "Second"}


def test_details_sent_with_files(catalogue: Catalogue) -> None:
    done = import_files(catalogue, {"a.jpg": jpeg(1)}, details=[{"title": "By hand", "creator": ""}])
    assert done.job.state == JobState.SUCCEEDED
    assert Work.objects.get().title == "By hand"
    with pytest.raises(ProductError, match="source_url"):
        import_files(catalogue, {"b.jpg": jpeg(2)}, details=[{"source_url": "javascript:1"}])


def test_each_wrong_member_is_refused_by_itself(catalogue: Catalogue, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 100_000
    members = {
        "good.jpg": jpeg(1),
        "text.txt": b"hello",
        "empty.jpg": b"",
        "cut.jpg": jpeg(2)[:900],
        "inner.zip": zip_of({"x.jpg": jpeg(3)}),
        "../escape.jpg": jpeg(4),
        "secret.jpg": jpeg(5),
        "big.bmp": bytes(100_001),
        "__MACOSX/._good.jpg": b"junk",
        ".DS_Store": b"junk",
        "Thumbs.db": b"junk",
    }
    data = zip_of(members)
    central = data.rindex(b"PK\x01\x02", 0, data.rindex(b"secret.jpg"))
    data = data[: central + 8] + struct.pack("<H", 1) + data[central + 10 :]
    done = import_zip(catalogue, data)
    assert done.job.state == JobState.SUCCEEDED
    assert states(done) == {
        "good.jpg": (RowState.REGISTERED, ""),
        "text.txt": (RowState.FAILED, ErrorCode.UNSUPPORTED_MEDIA_TYPE),
        "empty.jpg": (RowState.FAILED, ErrorCode.FILE_EMPTY),
        "cut.jpg": (RowState.FAILED, ErrorCode.PICTURE_UNREADABLE),
        "inner.zip": (RowState.FAILED, ErrorCode.ARCHIVE_NESTED),
        "../escape.jpg": (RowState.FAILED, ErrorCode.ARCHIVE_UNSAFE_PATH),
        "secret.jpg": (RowState.FAILED, ErrorCode.ARCHIVE_ENCRYPTED),
        "big.bmp": (RowState.FAILED, ErrorCode.FILE_TOO_LARGE),
    }
    assert all(row.message for row in done.rows.filter(state=RowState.FAILED))
    assert "3 hidden files were ignored." in done.notes


def test_a_name_twice_in_the_archive_is_read_once(catalogue: Catalogue) -> None:
    data = zip_of({"a.jpg": jpeg(1), "b.jpg": jpeg(2)}).replace(b"b.jpg", b"a.jpg")
    done = import_zip(catalogue, data)
    assert list(done.rows.order_by("index").values_list("state", "code")) == [
        (RowState.REGISTERED, ""),
        (RowState.FAILED, ErrorCode.CONFLICT),
    ]


def test_a_bare_name_that_fits_two_files_refuses_both(catalogue: Catalogue) -> None:
    data = zip_of({"x/a.jpg": jpeg(1), "y/a.jpg": jpeg(2), "t.csv": (HEADER + "a.jpg,A,,,,").encode()})
    done = import_zip(catalogue, data)
    assert [row.code for row in done.rows.all()] == [ErrorCode.CSV_UNREADABLE] * 2
    assert "fits several files" in done.rows.all()[0].message


def test_a_table_in_the_archive_that_cannot_be_read_stops_the_import(catalogue: Catalogue) -> None:
    done = import_zip(catalogue, zip_of({"a.jpg": jpeg(1), "t.csv": b"title\nA\n"}))
    assert (done.job.state, done.job.error_code) == (JobState.FAILED, ErrorCode.CSV_UNREADABLE)
    assert "t.csv" in done.job.error_message
    assert done.rows.count() == 0


def test_two_tables_in_the_archive_stop_the_import(catalogue: Catalogue) -> None:
    done = import_zip(catalogue, zip_of({"a.jpg": jpeg(1), "t.csv": b"filename", "u.tsv": b"filename"}))
    assert (done.job.state, done.job.error_code) == (JobState.FAILED, ErrorCode.CSV_UNREADABLE)
    assert "t.csv, u.tsv" in done.job.error_message


def test_a_table_beside_the_archive_is_the_one_that_counts(catalogue: Catalogue) -> None:
    data = zip_of({"a.jpg": jpeg(1), "t.csv": (HEADER + "a.jpg,Inside,,,,").encode()})
    done = import_zip(catalogue, data, table=sent("u.csv", (HEADER + "a.jpg,Beside,,,,").encode()))
    assert Work.objects.get().title == "Beside"
    assert any("t.csv" in note for note in done.notes)


def test_duplicates_are_named(catalogue: Catalogue) -> None:
    import_files(catalogue, {"first.png": png(1)})
    done = import_files(
        catalogue,
        {
            "same-bytes.png": png(1),
            "same-pixels.png": png(1, compress_level=1),
            "new.png": png(2),
            "new-again.png": png(2),
            "new-pixels.png": png(2, compress_level=1),
        },
    )
    found = rows(done)
    work = Work.objects.get(title="first")
    assert states(done) == {
        "same-bytes.png": (RowState.DUPLICATE, "same_bytes"),
        "same-pixels.png": (RowState.DUPLICATE, "same_pixels"),
        "new.png": (RowState.REGISTERED, ""),
        "new-again.png": (RowState.DUPLICATE, "same_bytes"),
        "new-pixels.png": (RowState.DUPLICATE, "same_pixels"),
    }
    assert found["same-bytes.png"].work == found["same-pixels.png"].work == work
    assert "“first”" in found["same-bytes.png"].message
    assert found["new-again.png"].work == found["new.png"].work
    assert "“new.png” in this upload" in found["new-again.png"].message
    assert "“new.png” in this upload" in found["new-pixels.png"].message
    assert Work.objects.count() == CatalogueItem.objects.count() == 2


def test_twins_in_different_chunks_are_named_too(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "CHUNK_ROWS", 1)
    for dry_run in (True, False):
        done = import_files(
            catalogue, {"a.png": png(1), "b.png": png(1), "c.png": png(1, compress_level=1)}, dry_run=dry_run
        )
        assert [row.state for row in rows(done).values()][1:] != [RowState.FAILED] * 2
        assert "“a.png” in this upload" in rows(done)["b.png"].message
        assert "“a.png” in this upload" in rows(done)["c.png"].message


def test_another_organisation_may_register_the_same_picture(catalogue: Catalogue, cast: Cast) -> None:
    other = catalogue_create(
        organisation=cast.elsewhere, name="Prints", visibility=Visibility.PUBLIC, actor=cast.outsider
    )
    for each in (catalogue, other):
        assert states(import_files(each, {"a.jpg": jpeg(1)})) == {"a.jpg": (RowState.REGISTERED, "")}


def test_a_picture_too_simple_is_registered_without_fingerprints(catalogue: Catalogue) -> None:
    done = import_files(catalogue, {"flat.png": flat_png()})
    assert "Too simple" in rows(done)["flat.png"].message
    assert Work.objects.get().fingerprints.count() == 0


def test_camera_data_is_not_in_the_copies(catalogue: Catalogue) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "secret-place"
    import_files(catalogue, {"a.jpg": jpeg(1, exif=exif)})
    work = Work.objects.get()
    assert b"secret-place" in files.read(Area.WORKS, work.sha256)
    for size in ("thumb", "full"):
        assert b"secret-place" not in files.read(Area.DERIVED, f"{work.sha256}-{size}.jpg")


def test_visibility_is_the_catalogues(cast: Cast) -> None:
    hidden = catalogue_create(
        organisation=cast.organisation, name="Hidden", visibility=Visibility.RECORD_ONLY, actor=cast.owner
    )
    import_files(hidden, {"a.jpg": jpeg(1)})
    assert Work.objects.get().visibility == Visibility.RECORD_ONLY


# --- What is refused before it begins ---


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, ErrorCode.FILE_MISSING),
        ({"archive": sent("x.zip", b"no")}, ErrorCode.ARCHIVE_UNREADABLE),
        ({"archive": sent("x.zip", zip_of({"__MACOSX/a.jpg": b"", "f/": b""}))}, ErrorCode.FILE_MISSING),
        ({"files": [sent("a.jpg", b"x")], "table": sent("t.csv", b"title")}, ErrorCode.CSV_UNREADABLE),
        ({"files": [sent(f"{n}.jpg", b"x") for n in range(4)]}, ErrorCode.TOO_MANY_FILES),
        ({"files": [sent("a.jpg", bytes(60_000)), sent("b.jpg", bytes(60_000))]}, ErrorCode.FILE_TOO_LARGE),
        ({"archive": sent("x.zip", bytes(100_001))}, ErrorCode.ARCHIVE_TOO_LARGE),
        ({"archive": sent("x.zip", zip_of({f"{n}": b"" for n in range(6)}))}, ErrorCode.TOO_MANY_FILES),
    ],
)
def test_refusals_leave_nothing_behind(
    catalogue: Catalogue, settings: Any, options: dict[str, Any], code: ErrorCode
) -> None:
    settings.IMPORT_MAX_FILES, settings.IMPORT_MAX_BYTES, settings.IMPORT_MAX_ROWS = 3, 100_000, 5
    with pytest.raises(ProductError) as refused:
        import_create(catalogue=catalogue, started_by=None, **options)
    assert refused.value.code == code
    assert CatalogueImport.objects.count() == Job.objects.count() == 0
    assert list(files.keys_older_than(Area.IMPORTS, -10)) == []


def test_one_large_file_among_many_is_a_refused_row(catalogue: Catalogue, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 50_000
    done = import_files(catalogue, {"a.jpg": jpeg(1), "big.bmp": bytes(50_001)})
    assert states(done) == {
        "a.jpg": (RowState.REGISTERED, ""),
        "big.bmp": (RowState.FAILED, ErrorCode.FILE_TOO_LARGE),
    }


def test_names_are_never_paths(catalogue: Catalogue, tmp_path: Any) -> None:
    done = import_files(catalogue, {"../../../../tmp/evil.jpg": jpeg(1), "CON\0.jpg": jpeg(2)})
    assert [row.state for row in done.rows.all()] == [RowState.REGISTERED] * 2
    assert {row.filename for row in done.rows.all()} == {"evil.jpg", "CON\N{REPLACEMENT CHARACTER}.jpg"}


def test_too_many_imports_in_an_hour_are_refused(catalogue: Catalogue, cast: Cast, settings: Any) -> None:
    settings.IMPORTS_PER_HOUR_USER = 1
    import_create(catalogue=catalogue, files=[sent("a.jpg", jpeg(1))], started_by=cast.owner)
    with pytest.raises(ProductError) as refused:
        import_create(catalogue=catalogue, files=[sent("b.jpg", jpeg(2))], started_by=cast.owner)
    assert refused.value.code == ErrorCode.RATE_LIMITED
    assert refused.value.retry_after
    import_create(catalogue=catalogue, files=[sent("b.jpg", jpeg(2))], started_by=cast.colleague)

"""What the operator has of a private catalogue: no clear hash in the whole database, in any file, or in the logs."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest
from django.conf import settings as site_settings
from django.db import connection

from provenance.hashing.hasher import HASHERS
from tests.webapp.catalogues.conftest import import_files
from tests.webapp.checks.conftest import upload
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg, pixels_of, png
from tests.webapp.private.conftest import Keyholders, begin, fill
from webapp.catalogues.models import Catalogue
from webapp.catalogues.services import catalogue_create
from webapp.checks.models import Check, Verdict
from webapp.checks.services import check_submit
from webapp.jobs.runner import execute
from webapp.registry.models import Visibility

pytestmark = pytest.mark.django_db
SEEDS = (1, 2, 3)


def encodings(code: bytes) -> dict[str, bytes]:
    """Return how a hash may be written; base64 in each of the three places that it may have in a longer text."""
    found = {
        "raw": code,
        "reversed": code[::-1],
        "hex": code.hex().encode(),
        "HEX": code.hex().upper().encode(),
        "bits": "".join(f"{byte:08b}" for byte in code).encode(),
        "signs": ",".join("1" if byte >> place & 1 else "-1" for byte in code for place in range(7, -1, -1)).encode(),
        "numbers": ",".join(map(str, code)).encode(),
        "escaped": "".join(f"\\x{byte:02x}" for byte in code).encode(),
    }
    for shift in range(3):
        inner = base64.b64encode(bytes(shift) + code)[shift + (shift > 0) :].rstrip(b"=")[:-1]
        found[f"base64+{shift}"] = inner
        found[f"base64url+{shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return found


def dump() -> bytes:
    """Return all rows of all tables, as text."""
    parts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            with cursor.cursor.copy(f'COPY "{table}" TO STDOUT') as rows:
                parts += [bytes(row) for row in rows]
    return b"".join(parts)


def files(*folders: Path) -> dict[str, bytes]:
    """Return every file below these folders; sockets are none."""
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def where(codes: list[bytes], places: dict[str, bytes]) -> list[str]:
    """Return where which encoding of any of the hashes occurs."""
    return [
        f"{name} in {place}"
        for code in codes
        for name, text in encodings(code).items()
        for place, content in places.items()
        if text in content
    ]


def test_no_hash_lies_anywhere_in_clear(
    cast: Cast,
    catalogue: Catalogue,
    place: Keyholders,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.DEBUG):
        private = begin(cast, catalogue)
        fill(cast, private, {f"{seed}.png": png(seed) for seed in SEEDS})
        (check,) = check_submit(
            files=[upload(jpeg(2))], owner=cast.outsider, wanted={"private_catalogues": [str(catalogue.pk)]}
        )
        execute(str(check.job_id))
    assert Check.objects.get().verdict == Verdict.PRIVATE_MATCH
    codes = [
        fingerprint.code.bits
        for hasher in HASHERS.values()
        for fingerprint in hasher.hash([pixels_of(seed) for seed in SEEDS])
    ]
    said = "".join(capfd.readouterr())
    logs = {"logs": (caplog.text + said).encode(), "records": repr([vars(one) for one in caplog.records]).encode()}

    pieces = [png(seed)[100:200] for seed in SEEDS]
    ours = [path for path in place.place.glob("**/" + catalogue.pk.hex) if path.is_dir()]
    assert len(ours) == 3

    def everywhere() -> dict[str, bytes]:
        found = files(Path(site_settings.MEDIA_ROOT), *ours, Path(site_settings.DATA_DIR) / "mail")
        return {**found, **logs, "database": dump()}

    looked_at = everywhere()
    assert len(looked_at["database"]) > 10_000
    assert any(name.endswith(".block") for name in looked_at)
    assert where(codes, looked_at) == []
    # Nor a picture: none of its bytes but in the check's own upload, which is another file.
    assert not any(piece in content for piece in pieces for content in looked_at.values())

    # The same search finds them where the same pictures are registered in clear.
    clear = catalogue_create(
        organisation=cast.organisation, name="In clear", visibility=Visibility.PUBLIC, actor=cast.owner
    )
    import_files(clear, {f"{seed}.png": png(seed) for seed in SEEDS})
    looked_at = everywhere()
    assert any(one.endswith("in database") for one in where(codes, looked_at))
    assert any(pieces[0] in content for content in looked_at.values())


def test_the_search_finds_what_it_looks_for() -> None:
    (fingerprint,) = HASHERS["pdq-v1"].hash([pixels_of(1)])
    code = fingerprint.code.bits
    longer = (base64.b64encode(b"x" + code), base64.urlsafe_b64encode(b"xy" + code + b"z"))
    for text in (code, code.hex().encode(), *longer):
        assert where([code], {"file": b"before" + text + b"after"})

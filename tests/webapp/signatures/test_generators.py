"""Pages for makers of generators: a number, its recipe, tests of pictures, revoking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.urls import reverse

from provenance.watermark.record import Recipe
from tests.webapp.checks.conftest import sample, upload
from tests.webapp.conftest import Cast
from tests.webapp.signatures.conftest import Signed, made_by
from webapp.accounts.models import AuditEntry
from webapp.jobs.models import Job
from webapp.jobs.runner import execute
from webapp.signatures import services
from webapp.signatures.keys import payload_of
from webapp.signatures.models import PictureResult, ReadingTest, SignatureCode, TestPicture

pytestmark = pytest.mark.django_db

EVERYBODY = ("owner", "colleague", "viewer", "outsider", "reviewer", "superuser", "anonymous")


def at(name: str, *arguments: Any) -> str:
    return reverse(f"signatures:{name}", args=arguments)


def test_it_works(cast: Cast) -> None:
    client = cast.client("colleague")
    answer = client.post(at("generator-new"), {"organisation": cast.organisation.pk, "name": " Painter 1 "})
    code = SignatureCode.objects.get()
    assert answer["Location"] == at("generator", code.pk)
    assert (code.name, code.kind, code.organisation) == ("Painter 1", "generator", cast.organisation)
    page = client.get(at("generator", code.pk)).content.decode()
    assert str(code.number) in page
    assert payload_of(code).tag.hex() not in page
    assert "Painter 1" in client.get(at("list")).content.decode()
    recipe = client.get(at("recipe", code.pk))
    assert Recipe.from_json(recipe.content) == Recipe(payload_of(code), "Painter 1")
    assert recipe["Content-Disposition"] == f'attachment; filename="generator-{code.number}.json"'
    assert AuditEntry.objects.get(verb="generator.created").data == {"name": "Painter 1", "number": code.number}


def test_one_name_has_one_number(cast: Cast, generator: SignatureCode) -> None:
    client = cast.client("owner")
    wanted = {"organisation": cast.organisation.pk, "name": generator.name}
    again = client.post(at("generator-new"), wanted)
    assert again.status_code == 400
    assert "has a generator of this name" in again.content.decode()
    client.post(at("generator-revoke", generator.pk))
    assert client.post(at("generator-new"), wanted).status_code == 302
    # Two of the same name would be in force.
    assert "of this name" in client.post(at("generator-restore", generator.pk), follow=True).content.decode()
    assert SignatureCode.objects.get(revoked_at=None) != generator


def test_who_may(cast: Cast, generator: SignatureCode) -> None:
    readers = {"owner": 200, "colleague": 200, "viewer": 200, "anonymous": 302}
    writers = {"owner": 200, "colleague": 200, "viewer": 403, "anonymous": 302}
    for name, allowed in (("generator", readers), ("recipe", writers)):
        found = {who: cast.client(who).get(at(name, generator.pk)).status_code for who in EVERYBODY}
        assert found == {who: allowed.get(who, 404) for who in EVERYBODY}, name
    for name in ("generator-revoke", "generator-restore"):
        found = {who: cast.client(who).post(at(name, generator.pk)).status_code for who in EVERYBODY}
        assert found == {who: {**writers, "owner": 302, "colleague": 302}.get(who, 404) for who in EVERYBODY}, name
        assert cast.client("owner").get(at(name, generator.pk))["Location"] == at("generator", generator.pk)
    assert "Painter 1" not in cast.client("outsider").get(at("list")).content.decode()
    theirs = cast.client("outsider").post(at("generator-new"), {"organisation": cast.organisation.pk, "name": "Mine"})
    assert theirs.status_code == 400
    assert cast.client("viewer").post(at("test", generator.pk), {"files": upload(sample("calla"))}).status_code == 403


def test_revoking_is_told_and_undone(cast: Cast, generator: SignatureCode) -> None:
    client = cast.client("owner")
    client.post(at("generator-revoke", generator.pk))
    assert "This can be undone until" in client.get(at("generator", generator.pk)).content.decode()
    client.post(at("generator-restore", generator.pk))
    page = client.get(at("generator", generator.pk)).content.decode()
    assert "In force" in page
    assert [entry.verb for entry in AuditEntry.objects.filter(verb__startswith="generator.").order_by("id")] == [
        "generator.created",
        "generator.revoked",
        "generator.restored",
    ]


def test_pictures_are_tested(cast: Cast, generator: SignatureCode, signed: Callable[..., Signed]) -> None:
    client = cast.client("owner")
    files = [
        upload(made_by(generator), "made.png"),
        upload(signed().data, "another.png"),
        upload(sample("calla"), "bare.jpg"),
        upload(b"no picture", "../notes.txt"),
    ]
    answer = client.post(at("test", generator.pk), {"files": files})
    test = ReadingTest.objects.get()
    assert answer["Location"] == at("test-page", generator.pk, test.pk)
    assert "Waiting" in client.get(answer["Location"]).content.decode()
    execute(str(test.job_id))
    results = {picture.filename: picture for picture in test.pictures.all()}
    assert {name: picture.result for name, picture in results.items()} == {
        "made.png": PictureResult.READ,
        "another.png": PictureResult.ANOTHER,
        "bare.jpg": PictureResult.NONE,
        "notes.txt": PictureResult.UNREADABLE,
    }
    assert results["made.png"].reading["mirrored"] is False
    page = client.get(answer["Location"]).content.decode()
    assert "The signature reads in 1 of 3. 1 file could not be read." in page
    assert not list((Path(site.MEDIA_ROOT) / "signatures").rglob(f"*{test.pk.hex}*")), "pictures are not kept"
    # Done again, as after a kill, nothing is read twice.
    TestPicture.objects.filter(filename="bare.jpg").update(result=PictureResult.READ)
    Job.objects.filter(pk=test.job_id).update(state="queued", finished_at=None)
    execute(str(test.job_id))
    assert test.pictures.get(filename="bare.jpg").result == PictureResult.READ
    assert cast.client("outsider").get(answer["Location"]).status_code == 404


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ([], 400, "Choose at least one"),
        ([b""], 400, "empty"),
        ([b"x" * 2000], 413, "larger than"),
        ([b"x"] * 3, 400, "at most 2"),
    ],
)
def test_bad_uploads_are_refused_in_words(
    cast: Cast, generator: SignatureCode, settings: Any, files: list[bytes], status: int, words: str
) -> None:
    settings.CHECK_MAX_FILES, settings.UPLOAD_MAX_BYTES = 2, 1000
    sent = [upload(data, f"{place}.png") for place, data in enumerate(files)]
    answer = cast.client("owner").post(at("test", generator.pk), {"files": sent} if sent else {})
    assert answer.status_code == status
    assert words in answer.content.decode()
    assert not ReadingTest.objects.exists()


@pytest.mark.usefixtures("generator")
def test_an_organisation_has_only_so_many(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_GENERATORS", 1)
    answer = cast.client("owner").post(at("generator-new"), {"organisation": cast.organisation.pk, "name": "Second"})
    assert answer.status_code == 400
    assert "the most it may have" in answer.content.decode()
    answer = cast.client("owner").post(at("generator-new"), {"organisation": cast.organisation.pk, "name": " "})
    assert answer.status_code == 400
    assert SignatureCode.objects.count() == 1

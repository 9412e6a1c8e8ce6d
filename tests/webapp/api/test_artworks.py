"""Artworks by the API: generated, read, changed, deleted, restored, proved; and everything refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as site
from django.core import mail
from django.db import connection
from PIL import Image
from pytest_django import Settings

from provenance.artwork.record import Record
from provenance.artwork.signature import read_signature
from provenance.models import catalogue as models
from tests.webapp.api.conftest import MakePartner, Partner, upload, work_off
from tests.webapp.artworks.conftest import TINY, cheap_commitments, tiny_presets
from tests.webapp.conftest import Cast
from webapp.accounts.models import AuditEntry, Scope
from webapp.api.models import IdempotencyRecord
from webapp.artworks.models import Artwork, ArtworkSecret, Proof
from webapp.jobs.models import Job
from webapp.registry.models import Work

__all__ = ["cheap_commitments", "tiny_presets"]
PROMPT = "zwei rote Hunde im Schnee, 4711"
NO_DIFFERENCE = (0, 0, 4)
FILE = b"a signature that nobody else has, 0815"


def asked(**fields: Any) -> dict[str, Any]:
    return {"prompt": PROMPT, "signature": upload(FILE, "song.flac"), "title": "Dogs", **fields}


def generate(partner: Partner, **fields: Any) -> Any:
    return partner.post("/artworks", asked(**fields))


@pytest.fixture
def made(partner: Partner) -> dict[str, Any]:
    """Return a finished artwork as the API tells of it."""
    begun = generate(partner)
    assert begun.status_code == 202, begun.content
    work_off()
    return partner.get(begun["Location"]).json()


def pixels_at(partner: Partner, address: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    answer = partner.client.get(address)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    with Image.open(io.BytesIO(answer.content), formats=("PNG",)) as picture:
        return np.asarray(picture)


def prove(partner: Partner, artwork: dict[str, Any], prompt: str = PROMPT, data: bytes = FILE) -> dict[str, Any]:
    begun = partner.post(artwork["links"]["proofs"], {"prompt": prompt, "signature": upload(data, "song.flac")})
    assert begun.status_code == 202, begun.content
    assert begun["Location"] == begun.json()["links"]["self"]
    work_off()
    return partner.get(begun["Location"]).json()


def test_it_works(partner: Partner, cast: Cast) -> None:
    begun = generate(partner)
    assert begun.status_code == 202
    assert begun["Location"] == begun.json()["links"]["self"]
    assert (begun.json()["state"], begun.json()["pixel_sha256"]) == ("queued", "")
    assert partner.get(begun["Location"])["Retry-After"] == "2"
    for part in ("picture", "record"):
        assert partner.get(begun.json()["links"][part]).status_code == 404

    work_off()

    done = partner.get(begun["Location"])
    assert "Retry-After" not in done
    body = done.json()
    assert (body["state"], body["error"], body["preset"], body["mode"]) == ("succeeded", None, "standard", "canonical")
    assert body["progress"]["percent"] == 100
    assert pixels_at(partner, body["links"]["picture"]).shape == (TINY.side, TINY.side, 3)
    record = Record.from_json(partner.get(body["links"]["record"]).content)
    assert record.pixel_sha256 == body["pixel_sha256"]
    assert record.latent_sha256 == body["latent_sha256"]
    assert record.recipe.digest == body["recipe_digest"]
    recipe = partner.get(body["links"]["recipe"])
    assert recipe.content == record.recipe.to_json()
    assert hashlib.sha256(recipe.content).hexdigest() == body["recipe_digest"]
    artwork = Artwork.objects.get()
    assert (artwork.owner, artwork.organisation, artwork.prompt_sealed) == (None, cast.organisation, None)
    entry = AuditEntry.objects.get(verb="artwork.requested")
    assert (entry.api_key, entry.actor) == (cast.partner_key, None)
    assert [row["id"] for row in partner.get("/artworks").json()["results"]] == [body["id"]]


def test_the_picture_is_declared_and_sent_as_png(partner: Partner, made: dict[str, Any]) -> None:
    answer = partner.client.get(made["links"]["picture"])
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert answer.content.startswith(b"\x89PNG")
    again = partner.client.get(made["links"]["picture"], headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304


def test_the_right_keys_prove_it(partner: Partner, made: dict[str, Any]) -> None:
    proof = prove(partner, made)
    assert (proof["state"], proof["verdict"]) == ("succeeded", "identical")
    assert proof["prompt_fits"] is proof["key_fits"] is proof["file_fits"] is proof["redecoded"] is True
    assert (proof["psnr_db"], proof["ssim"], proof["equal_share"]) == (None, 1.0, 1.0)
    assert proof["pixel_sha256"] == made["pixel_sha256"]
    again, difference = pixels_at(partner, proof["links"]["picture"]), pixels_at(partner, proof["links"]["difference"])
    assert np.array_equal(again, pixels_at(partner, made["links"]["picture"]))
    assert (difference == NO_DIFFERENCE).all()
    listed = partner.get(made["links"]["proofs"]).json()["results"]
    assert [each["id"] for each in listed] == [proof["id"]]


@pytest.mark.parametrize(
    ("prompt", "data", "fits"),
    [(PROMPT + "!", FILE, (False, True)), (PROMPT, FILE + b"!", (True, False)), ("dogs", b"x", (False, False))],
)
def test_wrong_keys_do_not(
    partner: Partner, made: dict[str, Any], prompt: str, data: bytes, fits: tuple[bool, bool]
) -> None:
    proof = prove(partner, made, prompt, data)
    assert proof["verdict"] == "different"
    assert (proof["prompt_fits"], proof["key_fits"]) == fits
    assert 0 < proof["psnr_db"] < 40
    assert proof["codes_equal"] is proof["latent_equal"] is False
    assert proof["redecoded"] is True
    registered = pixels_at(partner, made["links"]["picture"])
    again = pixels_at(partner, proof["links"]["picture"])
    equal = (again == registered).all(axis=-1)
    assert proof["equal_share"] == pytest.approx(equal.mean())
    error = np.mean((again.astype(float) - registered) ** 2)
    assert proof["psnr_db"] == pytest.approx(10 * np.log10(255**2 / error))
    difference = pixels_at(partner, proof["links"]["difference"])
    assert (difference[equal] == NO_DIFFERENCE).all()
    assert (difference != NO_DIFFERENCE).any()


def test_a_fast_draft_is_never_called_identical(partner: Partner) -> None:
    draft = generate(partner, mode="fast", preset="draft").json()
    work_off()
    assert (draft["mode"], draft["preset"]) == ("fast", "draft")
    assert prove(partner, draft)["verdict"] == "near"


def test_what_has_no_picture_cannot_be_proved(partner: Partner) -> None:
    queued = generate(partner).json()
    refused = partner.post(queued["links"]["proofs"], {"prompt": PROMPT, "signature": upload(FILE)})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert not Proof.objects.exists()


def test_a_proof_under_way_has_no_pictures(partner: Partner, made: dict[str, Any]) -> None:
    begun = partner.post(made["links"]["proofs"], {"prompt": PROMPT, "signature": upload(FILE)}).json()
    assert partner.get(begun["links"]["self"])["Retry-After"] == "2"
    for part in ("picture", "difference"):
        assert partner.get(begun["links"][part]).status_code == 404


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"prompt": " "}, 400, "prompt"),
        ({"prompt": "x" * 1001}, 400, "prompt"),
        ({"signature": upload(b"", "empty")}, 400, "signature"),
        ({"signature": [upload(b"one"), upload(b"two")]}, 400, "signature"),
        ({"signature": upload(b"x" * 1001)}, 413, "signature"),
    ],
)
def test_bad_keys_of_a_proof_are_refused_by_name(
    partner: Partner, made: dict[str, Any], settings: Settings, changed: dict[str, Any], status: int, field: str
) -> None:
    settings.SIGNATURE_MAX_BYTES = 1000
    refused = partner.post(made["links"]["proofs"], {"prompt": PROMPT, "signature": upload(FILE), **changed})
    assert refused.status_code == status, refused.content
    assert field in refused.json()["fields"]
    assert not Proof.objects.exists()


def test_line_ends_of_the_prompt_do_not_matter(partner: Partner) -> None:
    artwork = generate(partner, prompt="red\r\nblue").json()
    work_off()
    assert prove(partner, artwork, "red\nblue")["verdict"] == "identical"


def test_title_and_visibility_are_changed(partner: Partner, made: dict[str, Any], cast: Cast) -> None:
    def change(body: Any) -> Any:
        address = made["links"]["self"]
        return partner.client.patch(address, json.dumps(body), content_type="application/json")

    changed = change({"title": "Hounds"})
    assert changed.status_code == 200
    assert (changed.json()["title"], changed.json()["visibility"]) == ("Hounds", "public")
    assert change({"visibility": "record_only"}).json()["visibility"] == "record_only"
    work = Work.objects.get()
    assert (work.title, work.visibility) == ("Hounds", "record_only")
    assert AuditEntry.objects.filter(verb="artwork.edited", api_key=cast.partner_key).count() == 2
    for wrong in ({"visibility": "secret"}, {"title": ""}, {"title": "x" * 201}, [1], "x"):
        assert change(wrong).status_code == 400, wrong
    broken = partner.client.patch(made["links"]["self"], "{", content_type="application/json")
    assert (broken.status_code, broken["Content-Type"]) == (400, "application/problem+json")


def test_deleting_can_be_undone(partner: Partner, made: dict[str, Any]) -> None:
    where = made["links"]["self"]
    restore = f"{where}/restore"
    assert partner.post(restore).status_code == 409, "it is not deleted"
    assert partner.delete(where).status_code == 204
    assert partner.get(where).status_code == 404
    assert partner.get(made["links"]["record"]).status_code == 404
    assert partner.client.get(made["links"]["picture"]).status_code == 404
    assert partner.post(made["links"]["proofs"], {"prompt": PROMPT, "signature": upload(FILE)}).status_code == 404
    assert partner.post(restore).json()["pixel_sha256"] == made["pixel_sha256"]
    assert partner.client.get(made["links"]["picture"]).status_code == 200


def test_cancel(partner: Partner) -> None:
    begun = generate(partner).json()
    cancelled = partner.post(f"{begun['links']['self']}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert not ArtworkSecret.objects.exists()
    assert partner.post(f"{begun['links']['self']}/cancel").status_code == 409


def test_deleting_what_has_no_picture_leaves_nothing(partner: Partner) -> None:
    begun = generate(partner).json()
    assert partner.delete(begun["links"]["self"]).status_code == 204
    assert partner.post(f"{begun['links']['self']}/restore").status_code == 404
    for model in (Artwork, ArtworkSecret, Job):
        assert not model.objects.exists()


def test_people_of_the_organisation_see_it_on_its_pages(
    partner: Partner, made: dict[str, Any], cast: Cast
) -> None:
    proof = prove(partner, made)
    for who in ("owner", "colleague", "viewer"):
        browser = cast.client(who)
        for page in (made["links"]["page"], proof["links"]["page"], "/artworks/"):
            assert browser.get(page).status_code == 200, (who, page)
        assert "Dogs" in browser.get("/artworks/").content.decode()


def test_without_room_nothing_is_generated(partner: Partner, cast: Cast) -> None:
    cast.organisation.storage_quota_bytes = 10
    cast.organisation.save()
    refused = generate(partner)
    assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("changed", "status", "field"),
    [
        ({"prompt": ""}, 400, "prompt"),
        ({"prompt": "  \n"}, 400, "prompt"),
        ({"prompt": "x" * 1001}, 400, "prompt"),
        ({"prompt": "nul \0"}, 400, "prompt"),
        ({"title": ""}, 400, "title"),
        ({"title": PROMPT.upper()}, 400, "title"),
        ({"title": "x" * 201}, 400, "title"),
        ({"signature": upload(b"", "empty")}, 400, "signature"),
        ({"signature": "no file"}, 400, "signature"),
        ({"signature": [upload(b"one", "one"), upload(b"two", "two")]}, 400, "signature"),
        ({"preset": "huge"}, 400, "preset"),
        ({"mode": "exact"}, 400, "mode"),
        ({"visibility": "secret"}, 400, "visibility"),
        ({"exclusions": ", ".join(["x"] * 100)}, 400, "exclusions"),
    ],
)
def test_bad_input_is_refused_by_name(partner: Partner, changed: dict[str, Any], status: int, field: str) -> None:
    refused = generate(partner, **changed)
    assert refused.status_code == status, refused.content
    assert field in refused.json()["fields"]
    assert PROMPT not in refused.content.decode()
    assert not Artwork.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("absent", ["prompt", "title", "signature"])
def test_what_is_missing_is_named(partner: Partner, absent: str) -> None:
    refused = partner.post("/artworks", {name: value for name, value in asked().items() if name != absent})
    assert refused.status_code == 400
    assert absent in refused.json()["fields"]


def test_a_request_without_a_body_is_told_what_is_missing(partner: Partner, made: dict[str, Any]) -> None:
    for address in ("/artworks", made["links"]["proofs"]):
        refused = partner.post(address, b"", Content_Type="")
        assert refused.status_code == 400, refused.content
        assert {"prompt", "signature"} <= set(refused.json()["fields"])


@pytest.mark.parametrize("media_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_other_bodies_are_refused(partner: Partner, made: dict[str, Any], media_type: str) -> None:
    for address in ("/artworks", made["links"]["proofs"]):
        refused = partner.post(address, b"{}", Content_Type=media_type)
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


def test_a_signature_that_is_too_large_is_refused(partner: Partner, settings: Settings) -> None:
    settings.SIGNATURE_MAX_BYTES = 1000
    refused = generate(partner, signature=upload(b"x" * 1001))
    assert (refused.status_code, refused.json()["code"]) == (413, "file_too_large")
    assert not Artwork.objects.exists()


@pytest.mark.parametrize("where", ["artworks", "proofs"])
def test_a_picture_that_cannot_be_decoded_now_is_no_signature(
    partner: Partner, made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def fail(*_given: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("provenance.images.decode._decode_as", fail)
    address = "/artworks" if where == "artworks" else made["links"]["proofs"]
    refused = partner.post(address, asked(signature=upload(b"\x89PNG\r\n\x1a\n" + bytes(20), "key.png")))
    assert (refused.status_code, refused.json()["code"]) == (415, "picture_unreadable")
    assert list(refused.json()["fields"]) == ["signature"]


def test_a_missing_model_is_named_with_its_command(partner: Partner, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    refused = generate(partner)
    assert (refused.status_code, refused.json()["code"]) == (503, "generator_unavailable")
    assert "small-vqgan" in refused.json()["detail"]
    assert "provenance models " in refused.json()["detail"]
    assert str(tmp_path) not in refused.content.decode(), "where our files lie is nobody's business"
    assert not Job.objects.exists()


def test_too_many_in_an_hour(partner: Partner, settings: Settings) -> None:
    settings.ARTWORKS_PER_HOUR = 1
    artwork = generate(partner)
    assert artwork.status_code == 202
    refused = generate(partner)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) > 0
    assert Artwork.objects.count() == 1


def test_another_organisation_s_are_not_there(partner: Partner, stranger: Partner, made: dict[str, Any]) -> None:
    proof = prove(partner, made)
    where = made["links"]["self"]
    keys = {"prompt": PROMPT, "signature": upload(FILE)}
    for answer in (
        stranger.get(where),
        stranger.get(made["links"]["record"]),
        stranger.client.get(made["links"]["picture"]),
        stranger.get(made["links"]["proofs"]),
        stranger.get(made["links"]["recipe"]),
        stranger.get(proof["links"]["self"]),
        stranger.client.get(proof["links"]["picture"]),
        stranger.client.get(proof["links"]["difference"]),
        stranger.delete(where),
        stranger.post(f"{where}/restore"),
        stranger.post(f"{where}/cancel"),
        stranger.post(made["links"]["proofs"], keys),
        stranger.client.patch(where, "{}", content_type="application/json"),
    ):
        assert answer.status_code == 404
    assert stranger.get("/artworks").json()["results"] == []


def test_scopes(make_partner: MakePartner, made: dict[str, Any]) -> None:
    reader = make_partner(scopes=[Scope.ARTWORK_READ])
    writer = make_partner(scopes=[Scope.ARTWORK_WRITE])
    where = made["links"]["self"]
    assert reader.get(where).status_code == 200
    assert writer.get(where).status_code == 403
    for answer in (generate(reader), reader.delete(where), reader.post(f"{where}/cancel")):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert Partner(None).get(where).status_code == 401


def test_sent_twice_is_generated_once(partner: Partner) -> None:
    one = partner.post("/artworks", asked(), Idempotency_Key="one")
    again = partner.post("/artworks", asked(), Idempotency_Key="one")
    assert again["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == one.json()["id"]
    other = partner.post("/artworks", asked(prompt="another"), Idempotency_Key="one")
    assert other.status_code == 422
    assert Artwork.objects.count() == 1


def test_neither_key_is_left_anywhere(
    partner: Partner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests that go well, that are refused, and that fail by our fault; each with a record of its answer."""
    caplog.set_level(logging.DEBUG)
    artwork = partner.post("/artworks", asked(), Idempotency_Key="one").json()
    partner.post("/artworks", asked(title=""), Idempotency_Key="two")
    partner.post("/artworks", asked(title=PROMPT), Idempotency_Key="three")
    partner.post("/artworks", asked(prompt=PROMPT * 100), Idempotency_Key="four")
    generate(partner, title="On its way for long")
    left = leftovers()
    assert any(artwork["id"] in each for each in left)
    assert len(left) > IdempotencyRecord.objects.count() == 4
    assert_no_key_in(left, caplog.text)

    work_off()
    prove(partner, artwork)
    prove(partner, artwork, PROMPT + "!")
    assert Proof.objects.count() == 2
    with monkeypatch.context() as patch:
        patch.setattr("webapp.artworks.services.keys_keep", broken)
        patch.setattr("webapp.artworks.proofs.keys_keep", broken)
        for address in ("/artworks", artwork["links"]["proofs"]):
            assert partner.post(address, asked(), Idempotency_Key="five").status_code == 500
    assert "a view of the API failed" in caplog.text

    left = leftovers()
    assert any(each.startswith("\x89PNG") for each in left)
    assert_no_key_in(left, caplog.text)


def broken(**_given: Any) -> None:
    raise RuntimeError("the disk is full")


def leftovers() -> list[str]:
    """Return all rows of the database and all names and contents of the files area, as text."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            found += [row for (row,) in cursor.fetchall()]
    for path in Path(site.MEDIA_ROOT).rglob("*"):
        found.append(str(path))
        if path.is_file():
            found.append(path.read_bytes().decode("latin-1"))
    return found


def assert_no_key_in(left: list[str], log: str) -> None:
    """Fail if a key, or a digest without salt by which it could be guessed, is anywhere."""
    signature = read_signature(io.BytesIO(FILE))
    secrets = [PROMPT.encode(), FILE, signature.key, signature.byte_digest]
    for secret in (PROMPT.encode(), FILE):
        secrets += [hashlib.new(name, secret).digest() for name in ("sha256", "sha1", "md5", "blake2s", "blake2b")]
    for secret in secrets:
        forms = [secret.decode("latin-1"), secret.hex(), base64.b64encode(secret).decode()]
        for text in [*left, log]:
            assert not any(form in text for form in forms), f"{secret!r} is in {text[:200]!r}"


def test_the_digest_of_a_request_does_not_let_its_prompt_be_tried_out(
    partner: Partner, settings: Settings
) -> None:
    """Who reads the table knows all of a request but the prompt, and can compute whatever needs no secret."""
    partner.post("/artworks", asked(), Idempotency_Key="one")
    first = IdempotencyRecord.objects.get().request_digest
    IdempotencyRecord.objects.all().delete()
    settings.SECRET_KEY = "another secret of the site"
    partner.post("/artworks", asked(), Idempotency_Key="one")
    assert IdempotencyRecord.objects.get().request_digest != first


@pytest.mark.parametrize("where", ["artworks", "proofs"])
def test_the_operator_is_not_told_the_keys_when_something_breaks(
    partner: Partner, made: dict[str, Any], settings: Settings, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    settings.ADMINS = [("Operator", "operator@provenance.example")]
    for module in ("services", "proofs"):
        monkeypatch.setattr(f"webapp.artworks.{module}.keys_keep", broken)
    address = "/artworks" if where == "artworks" else made["links"]["proofs"]
    assert partner.post(address, asked()).status_code == 500
    (message,) = mail.outbox
    assert "Internal Server Error" in message.subject
    assert "zwei rote Hunde" not in str(message.message())

"""Artworks by the API: generated, read, changed, deleted, restored, proved; and everything refused."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import numpy as np
import pytest
from django.db import connection
from PIL import Image
from pytest_django import Settings

from provenance.artwork import recipe as recipes
from provenance.artwork.record import Record
from provenance.models import catalogue as models
from tests.webapp.api.conftest import MakePartner, Partner, upload, work_off
from tests.webapp.artworks.conftest import TINY
from tests.webapp.conftest import Cast
from webapp.accounts.models import AuditEntry, Scope
from webapp.artworks.models import Artwork, ArtworkSecret, Proof
from webapp.jobs.models import Job
from webapp.registry.models import Work

PROMPT = "zwei rote Hunde im Schnee, 4711"
FILE = b"a signature that nobody else has, 0815"


@pytest.fixture(autouse=True)
def tiny_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in recipes.PRESETS:
        monkeypatch.setitem(recipes.PRESETS, name, TINY)


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
    with Image.open(io.BytesIO(partner.client.get(body["links"]["picture"]).content)) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (TINY.side, TINY.side, 3)
    record = Record.from_json(partner.get(body["links"]["record"]).content)
    assert record.pixel_sha256 == body["pixel_sha256"]
    assert record.latent_sha256 == body["latent_sha256"]
    assert record.recipe.digest == body["recipe_digest"]
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


def test_other_bodies_are_refused(partner: Partner) -> None:
    assert partner.post("/artworks", b"{}", Content_Type="application/json").status_code == 415


def test_a_signature_that_is_too_large_is_refused(partner: Partner, settings: Settings) -> None:
    settings.SIGNATURE_MAX_BYTES = 1000
    refused = generate(partner, signature=upload(b"x" * 1001))
    assert (refused.status_code, refused.json()["code"]) == (413, "file_too_large")
    assert not Artwork.objects.exists()


def test_a_missing_model_is_named_with_its_command(partner: Partner, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(models, "WEIGHTS", tmp_path)
    refused = generate(partner)
    assert (refused.status_code, refused.json()["code"]) == (503, "generator_unavailable")
    assert "small-vqgan" in refused.json()["detail"]


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
        stranger.get(proof["links"]["self"]),
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


def test_neither_key_is_left_anywhere(partner: Partner, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    artwork = partner.post("/artworks", asked(), Idempotency_Key="one").json()
    generate(partner, title="")
    work_off()
    prove(partner, artwork)
    prove(partner, artwork, PROMPT + "!")
    assert Proof.objects.count() == 2
    rows = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [row for (row,) in cursor.fetchall()]
    assert any(artwork["pixel_sha256"] in row or artwork["id"] in row for row in rows)
    for secret in (PROMPT, FILE.decode()):
        for form in (secret, secret.encode().hex(), json.dumps(secret)[1:-1]):
            assert not any(form in row for row in rows)
            assert form not in caplog.text

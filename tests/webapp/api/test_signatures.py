"""Signatures by the API: works signed and read, generators, scopes, limits, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from provenance.watermark.record import Recipe
from tests.webapp.api.conftest import MakePartner, Partner, upload, work_off
from tests.webapp.checks.conftest import Register, register, sample
from tests.webapp.conftest import Cast
from tests.webapp.signatures.conftest import Signed, copied, generator, made_by, plain, signed
from webapp.accounts.models import AuditEntry, Scope
from webapp.signatures.keys import payload_of
from webapp.signatures.models import SignatureCode

__all__ = ["generator", "register", "signed"]

pytestmark = pytest.mark.django_db


def read(partner: Partner, data: bytes, **headers: str) -> Any:
    return partner.post("/signatures/read", {"file": upload(data)}, **headers)


def test_it_works(partner: Partner, register: Register, cast: Cast) -> None:
    work = register("chelsea")
    where = f"/works/{work.pk}/signature"
    assert partner.get(where).status_code == 404
    begun = partner.post(where)
    assert (begun.status_code, begun.json()["state"]) == (202, "signing")
    assert begun["Location"] == begun.json()["links"]["self"]
    assert partner.get(where)["Retry-After"] == "1"
    early = partner.client.get(begun.json()["links"]["picture"])
    assert (early.status_code, early.json()["code"]) == (409, "conflict")
    work_off()
    done = partner.get(where).json()
    assert done["state"] == "ready"
    picture = partner.client.get(done["links"]["picture"])
    assert picture["Content-Type"] == "image/png"
    assert AuditEntry.objects.get(verb="signature.given").api_key_id == cast.partner_key.pk

    said = read(partner, picture.content).json()
    assert (said["standing"], said["number"], said["organisation"]) == ("work", done["number"], "The Archive")
    assert said["work"]["id"] == str(work.pk)
    assert said["distance"]["distance"] <= said["distance"]["near_radius"]
    assert said["same_picture"] == "yes"

    assert partner.delete(where).status_code == 204
    assert partner.get(where).status_code == 404
    assert read(partner, picture.content).json()["standing"] == "revoked"
    assert partner.post(where).json()["number"] != done["number"]


def test_a_copied_signature_shows_by_its_distance(partner: Partner, signed: Callable[..., Signed]) -> None:
    said = read(partner, copied(signed())).json()
    assert said["standing"] == "work"
    assert said["distance"]["distance"] > said["distance"]["candidate_radius"]
    assert said["same_picture"] == "unclear"


def test_a_write_sent_twice_is_done_once(partner: Partner, register: Register) -> None:
    where = f"/works/{register('chelsea').pk}/signature"
    first, again = (partner.post(where, Idempotency_Key="one") for _ in range(2))
    assert first.json() == again.json()
    assert again["Idempotency-Replayed"] == "true"
    headers = {"Content_Type": "application/json", "Idempotency_Key": "g"}
    made = [partner.call("POST", "/generators", b'{"name": "Painter"}', **headers) for _ in range(2)]
    assert made[0].json() == made[1].json()
    assert SignatureCode.objects.filter(kind="generator").count() == 1


def test_generators(partner: Partner, cast: Cast) -> None:
    made = partner.call("POST", "/generators", b'{"name": "Painter 1"}', Content_Type="application/json")
    assert made.status_code == 201
    where = made["Location"]
    assert partner.get(where).json() == made.json()
    assert partner.get("/generators").json()["results"] == [made.json()]
    code = SignatureCode.objects.get()
    recipe = Recipe.from_json(partner.get(made.json()["links"]["recipe"]).content)
    assert recipe == Recipe(payload_of(code), "Painter 1")
    said = read(partner, made_by(code)).json()
    assert (said["standing"], said["generator"], said["work"]) == ("generator", "Painter 1", None)
    assert partner.delete(where).status_code == 204
    assert partner.get(where).json()["revoked_at"]
    assert partner.post(f"{where}/restore").json()["revoked_at"] is None
    assert partner.post(f"{where}/restore").status_code == 409
    refused = partner.call("POST", "/generators", b'{"name": ""}', Content_Type="application/json")
    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["name"])


def test_others_things_are_not_there(
    partner: Partner, stranger: Partner, register: Register, generator: SignatureCode
) -> None:
    work = register("chelsea")
    assert partner.post(f"/works/{work.pk}/signature").status_code == 202
    for path in (f"/works/{work.pk}/signature", f"/works/{work.pk}/signature/picture", f"/generators/{generator.pk}",
                 f"/generators/{generator.pk}/recipe", "/works/x/signature", "/generators/x"):  # fmt: skip
        assert stranger.get(path).status_code == 404, path
    assert stranger.post(f"/works/{work.pk}/signature").status_code == 404
    assert stranger.delete(f"/generators/{generator.pk}").status_code == 404
    assert stranger.get("/generators").json()["results"] == []


def test_each_needs_its_scope(make_partner: MakePartner, register: Register, generator: SignatureCode) -> None:
    work = register("chelsea")
    reader, writer = (make_partner(scopes=[scope]) for scope in (Scope.SIGNATURE_READ, Scope.SIGNATURE_WRITE))
    for answer in (
        reader.post(f"/works/{work.pk}/signature"),
        reader.delete(f"/works/{work.pk}/signature"),
        reader.get(f"/generators/{generator.pk}/recipe"),
        reader.delete(f"/generators/{generator.pk}"),
        writer.get(f"/works/{work.pk}/signature"),
        writer.get("/generators"),
        read(writer, sample("calla")),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert Partner(None).get("/generators").status_code == 401


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [(b"", 400, "file_empty"), (b"no picture", 415, "picture_unreadable"), (b"x" * 60_001, 413, "file_too_large")],
)
def test_what_cannot_be_read_is_refused(partner: Partner, settings: Any, data: bytes, status: int, code: str) -> None:
    settings.UPLOAD_MAX_BYTES = 60_000
    answer = read(partner, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_what_cannot_be_signed_says_why(partner: Partner, register: Register) -> None:
    answer = partner.post(f"/works/{register('plain', data=plain()).pk}/signature")
    assert (answer.status_code, answer.json()["code"]) == (422, "cannot_be_signed")
    assert "too simple" in answer.json()["detail"]


def test_reading_counts_as_a_check(partner: Partner, settings: Any) -> None:
    settings.CHECKS_PER_HOUR_KEY = 1
    first = read(partner, sample("calla"))
    assert (first.status_code, first.json()["standing"]) == (200, "none")
    assert first.json()["presence"] < 0.5
    refused = read(partner, sample("calla"))
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused["Retry-After"]) > 0


def test_missing_networks_are_told(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    from provenance.models.errors import ModelMissing
    from webapp.api import signatures

    def missing(_pixels: object) -> None:
        raise ModelMissing("/srv/secret is missing", name="signature", command="")

    monkeypatch.setattr(signatures, "look", missing)
    answer = read(partner, sample("calla"))
    assert (answer.status_code, answer.json()["code"]) == (503, "signatures_unavailable")
    assert b"/srv" not in answer.content

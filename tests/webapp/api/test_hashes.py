"""Deep hashes by the API: chosen, trained, looked up by, scopes, limits, refusals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from provenance.hashing.deephash import EDIT_HASH
from tests.webapp.api.conftest import MakePartner, Partner, upload, work_off
from tests.webapp.catalogues.conftest import import_files
from tests.webapp.conftest import Cast
from tests.webapp.deephash.conftest import pictures, small, trained
from tests.webapp.pictures import flat_png, jpeg, png
from webapp.accounts.models import AuditEntry, Scope
from webapp.catalogues.models import Catalogue
from webapp.deephash import services
from webapp.deephash.models import CatalogueHash, DeepCode, TrainedModel
from webapp.deephash.storage import Part, path_of
from webapp.registry.models import Work

__all__ = ["pictures", "small"]

pytestmark = pytest.mark.django_db


def send(partner: Partner, method: str, path: str, body: Any, **headers: str) -> Any:
    return partner.call(method, path, json.dumps(body).encode(), Content_Type="application/json", **headers)


def choose(partner: Partner, catalogue: Catalogue, algorithm: str | None = EDIT_HASH.algorithm) -> Any:
    return send(partner, "PUT", f"/catalogues/{catalogue.pk}/hash", {"algorithm": algorithm})


def look_up(partner: Partner, catalogue: Catalogue, data: bytes) -> Any:
    return partner.post(f"/catalogues/{catalogue.pk}/hash/look-up", {"file": upload(data)})


def test_it_works(partner: Partner, pictures: Catalogue, cast: Cast) -> None:
    where = partner.get(f"/catalogues/{pictures.pk}").json()["links"]["hash"]
    before = partner.get(where).json()
    assert (before["algorithm"], before["hashing"], before["pictures"], before["coded"]) == (None, None, 3, 0)
    assert [one["algorithm"] for one in before["choices"]] == list(services.SHIPPED)
    chosen = choose(partner, pictures, "con-vae-64-v1")
    assert (chosen.status_code, chosen.json()["hashing"]["state"]) == (200, "queued")
    assert partner.get(where)["Retry-After"] == "5"
    work_off()
    done = partner.get(where)
    assert "Retry-After" not in done
    assert (done.json()["hashing"]["state"], done.json()["coded"]) == ("succeeded", 3)
    assert AuditEntry.objects.get(verb="catalogue.hash_chosen").api_key_id == cast.partner_key.pk

    found = look_up(partner, pictures, png(2)).json()
    assert (found["algorithm"], found["bits"], found["near"]) == ("con-vae-64-v1", 64, True)
    first, second, third = found["results"]
    work = Work.objects.get(title="2")
    assert first["work"]["id"] == str(work.pk)
    assert (first["distance"], first["identical"], first["psnr_db"], first["ssim"]) == (0, True, None, 1.0)
    assert second["distance"] <= third["distance"]
    assert second["psnr_db"] < 30
    assert partner.get(first["item"]).json()["work"]["id"] == str(work.pk)
    code = str(DeepCode.objects.get(work=work).code64)
    assert int(found["code"], 16) == int(code, 2)
    assert found["reconstruction"].startswith("data:image/png;base64,")

    assert choose(partner, pictures, None).json()["algorithm"] is None
    assert not DeepCode.objects.exists()


def test_a_copy_is_told_from_the_picture_itself(partner: Partner, pictures: Catalogue) -> None:
    choose(partner, pictures)
    work_off()
    found = look_up(partner, pictures, jpeg(2)).json()
    (copy, *_others) = found["results"]
    assert (copy["near"], copy["identical"]) == (True, False)
    assert copy["psnr_db"] > 30
    assert found["reconstruction"] is None


def test_giving_codes_is_cancelled_and_goes_on(partner: Partner, pictures: Catalogue) -> None:
    choose(partner, pictures)
    where = f"/catalogues/{pictures.pk}/hash"
    cancelled = partner.post(f"{where}/cancel")
    assert cancelled.json()["hashing"]["state"] == "cancelled"
    assert cancelled.json()["hashing"]["error"]["code"] == "cancelled"
    assert partner.post(f"{where}/cancel").status_code == 409
    work_off()
    assert partner.get(where).json()["coded"] == 0
    assert choose(partner, pictures).json()["hashing"]["state"] == "queued"
    work_off()
    assert partner.get(where).json()["coded"] == 3


@pytest.mark.usefixtures("small")
def test_a_hash_is_trained_used_and_deleted(partner: Partner, pictures: Catalogue, cast: Cast) -> None:
    where = f"/catalogues/{pictures.pk}/trainings"
    begun = send(partner, "POST", where, {"kind": "ae", "bits": 128})
    assert (begun.status_code, begun.json()["state"]) == (202, "queued")
    assert begun["Location"] == begun.json()["links"]["self"]
    assert partner.get(begun["Location"])["Retry-After"] == "5"
    assert partner.get(f"/catalogues/{pictures.pk}/hash").json()["training"] == begun["Location"]
    assert send(partner, "POST", where, {}).status_code == 409, "one at a time"
    assert partner.delete(begun["Location"]).status_code == 409
    work_off()
    done = partner.get(begun["Location"]).json()
    assert (done["state"], done["kind"], done["bits"], done["pictures"], done["held_out"]) == (
        "succeeded", "ae", 128, 2, 1,
    )  # fmt: skip
    assert np.isfinite(done["history"][-1]["tune_psnr"])
    assert partner.get(where).json()["results"] == [done]
    used = partner.get(f"/catalogues/{pictures.pk}/hash").json()
    assert (used["algorithm"], used["training"]) == (done["algorithm"], None)
    assert begun["Location"] in [one["training"] for one in used["choices"]]
    assert look_up(partner, pictures, png(2)).json()["algorithm"] == done["algorithm"]
    assert {"catalogue.hash_training_begun", "catalogue.hash_deleted"} - set(
        AuditEntry.objects.filter(api_key=cast.partner_key).values_list("verb", flat=True)
    ) == {"catalogue.hash_deleted"}
    assert partner.delete(begun["Location"]).status_code == 204
    assert partner.get(begun["Location"]).status_code == 404
    assert AuditEntry.objects.get(verb="catalogue.hash_deleted").api_key_id == cast.partner_key.pk
    assert partner.get(f"/catalogues/{pictures.pk}/hash").json()["algorithm"] is None


@pytest.mark.usefixtures("small")
def test_a_training_is_cancelled(partner: Partner, pictures: Catalogue) -> None:
    begun = send(partner, "POST", f"/catalogues/{pictures.pk}/trainings", {})
    cancelled = partner.post(f"{begun['Location']}/cancel")
    assert (cancelled.json()["state"], cancelled.json()["error"]["code"]) == ("cancelled", "cancelled")
    assert partner.post(f"{begun['Location']}/cancel").status_code == 409
    assert partner.delete(begun["Location"]).status_code == 204
    assert not TrainedModel.objects.exists()


def test_what_cannot_be_trained_says_why(partner: Partner, pictures: Catalogue) -> None:
    where = f"/catalogues/{pictures.pk}/trainings"
    few = send(partner, "POST", where, {})
    assert (few.status_code, few.json()["code"]) == (400, "invalid")
    assert "at least 64" in few.json()["detail"]
    for body, field in (({"kind": "gan"}, "kind"), ({"bits": 7}, "bits"), ({"bits": "many"}, "bits")):
        refused = send(partner, "POST", where, body)
        assert (refused.status_code, list(refused.json()["fields"])) == (400, [field])
    assert partner.call("POST", where, b"{", Content_Type="application/json").status_code == 400
    assert partner.call("POST", where, b"[1]", Content_Type="application/json").status_code == 400
    assert partner.call("POST", where, b"kind=ae", Content_Type="text/plain").status_code == 415
    assert not TrainedModel.objects.exists()


def test_a_private_catalogue_has_no_hash_and_says_why(partner: Partner, pictures: Catalogue) -> None:
    Catalogue.objects.filter(pk=pictures.pk).update(is_private=True)
    for answer in (choose(partner, pictures), send(partner, "POST", f"/catalogues/{pictures.pk}/trainings", {})):
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "no pictures in clear" in answer.json()["detail"]
    assert choose(partner, pictures, None).status_code == 200
    assert not CatalogueHash.objects.exists()


@pytest.mark.parametrize("body", [{}, {"algorithm": "md5"}, {"algorithm": 7}, {"algorithm": "x" * 50}, ["no"], None])
def test_a_choice_that_is_none_is_refused(partner: Partner, pictures: Catalogue, body: Any) -> None:
    refused = send(partner, "PUT", f"/catalogues/{pictures.pk}/hash", body)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert not CatalogueHash.objects.exists()


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "file_empty"),
        (b"no picture", 415, "picture_unreadable"),
        (b"x" * 60_001, 413, "file_too_large"),
        (flat_png(), 400, "invalid"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(
    partner: Partner, pictures: Catalogue, settings: Any, data: bytes, status: int, code: str
) -> None:
    choose(partner, pictures)
    settings.UPLOAD_MAX_BYTES = 60_000
    answer = look_up(partner, pictures, data)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_look_up_needs_one_file_and_a_hash(partner: Partner, pictures: Catalogue) -> None:
    where = f"/catalogues/{pictures.pk}/hash/look-up"
    assert look_up(partner, pictures, png(2)).status_code == 409
    assert (partner.post(where, {}).status_code, partner.post(where, b"x").status_code) == (400, 415)
    several = partner.post(where, {"file": [upload(png(1)), upload(png(2))]})
    assert (several.status_code, several.json()["code"]) == (400, "too_many_files")


def test_a_model_that_is_lost_is_told(partner: Partner, pictures: Catalogue) -> None:
    model = trained(pictures)
    choose(partner, pictures, model.algorithm)
    path_of(model.pk, Part.WEIGHTS).unlink()
    answer = look_up(partner, pictures, png(2))
    assert (answer.status_code, answer.json()["code"]) == (503, "generator_unavailable")


def test_looking_up_counts_as_a_check(partner: Partner, pictures: Catalogue, settings: Any) -> None:
    choose(partner, pictures)
    settings.CHECKS_PER_HOUR_KEY = 1
    assert look_up(partner, pictures, png(2)).status_code == 200
    refused = look_up(partner, pictures, png(2))
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


@pytest.mark.usefixtures("small")
def test_a_write_sent_twice_is_done_once(partner: Partner, pictures: Catalogue) -> None:
    where = f"/catalogues/{pictures.pk}/trainings"
    first, again = (send(partner, "POST", where, {}, Idempotency_Key="one") for _ in range(2))
    assert first.json() == again.json()
    assert again["Idempotency-Replayed"] == "true"
    assert TrainedModel.objects.count() == 1


def test_others_things_are_not_there(partner: Partner, stranger: Partner, pictures: Catalogue) -> None:
    model = trained(pictures)
    for path in (f"/catalogues/{pictures.pk}/hash", f"/catalogues/{pictures.pk}/trainings", f"/trainings/{model.pk}",
                 "/catalogues/x/hash", "/trainings/x"):  # fmt: skip
        assert stranger.get(path).status_code == 404, path
    assert choose(stranger, pictures).status_code == 404
    assert look_up(stranger, pictures, png(2)).status_code == 404
    assert send(stranger, "POST", f"/catalogues/{pictures.pk}/trainings", {}).status_code == 404
    assert stranger.post(f"/catalogues/{pictures.pk}/hash/cancel").status_code == 404
    assert stranger.post(f"/trainings/{model.pk}/cancel").status_code == 404
    assert stranger.delete(f"/trainings/{model.pk}").status_code == 404
    assert partner.get(f"/trainings/{model.pk}").status_code == 200


def test_each_needs_its_scope(make_partner: MakePartner, pictures: Catalogue) -> None:
    model = trained(pictures)
    reader, writer = (make_partner(scopes=[scope]) for scope in (Scope.CATALOGUE_READ, Scope.CATALOGUE_WRITE))
    for answer in (
        choose(reader, pictures),
        reader.post(f"/catalogues/{pictures.pk}/hash/cancel"),
        send(reader, "POST", f"/catalogues/{pictures.pk}/trainings", {}),
        reader.post(f"/trainings/{model.pk}/cancel"),
        reader.delete(f"/trainings/{model.pk}"),
        writer.get(f"/catalogues/{pictures.pk}/hash"),
        writer.get(f"/catalogues/{pictures.pk}/trainings"),
        writer.get(f"/trainings/{model.pk}"),
        look_up(writer, pictures, png(2)),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
    assert Partner(None).get(f"/catalogues/{pictures.pk}/hash").status_code == 401


def test_a_list_comes_in_pages(partner: Partner, pictures: Catalogue) -> None:
    models = [trained(pictures) for _ in range(3)]
    first = partner.get(f"/catalogues/{pictures.pk}/trainings?page_size=2").json()
    rest = partner.get(first["next"]).json()
    assert [one["id"] for one in (*first["results"], *rest["results"])] == [str(one.pk) for one in reversed(models)]
    assert partner.get(f"/catalogues/{pictures.pk}/trainings?page_size=0").status_code == 400


def test_plain_pictures_are_counted(partner: Partner, pictures: Catalogue) -> None:
    import_files(pictures, {"flat.png": flat_png()})
    choose(partner, pictures)
    work_off()
    said = partner.get(f"/catalogues/{pictures.pk}/hash").json()
    assert (said["pictures"], said["coded"], said["plain"], said["unreadable"]) == (4, 3, 1, 0)

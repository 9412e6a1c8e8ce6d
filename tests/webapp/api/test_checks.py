"""Checks by the API: sent, watched, answered, cancelled, deleted; and everything that is refused."""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from datetime import timedelta

import pytest
import rfc8785
from django.utils import timezone
from PIL import Image
from pytest_django import Settings

from tests.webapp.api.conftest import MakePartner, Partner, picture, upload, work_off
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg
from webapp.accounts.models import AuditEntry
from webapp.catalogues.models import Catalogue
from webapp.checks.models import Check, Evidence
from webapp.checks.services import check_submit
from webapp.files import Area, path_of
from webapp.jobs.models import Job
from webapp.jobs.services import job_claim


def test_it_works(partner: Partner, catalogue: Catalogue) -> None:
    added = partner.post(f"/catalogues/{catalogue.pk}/items", {"file": picture(1, "harbour.jpg")})
    assert added.status_code == 202
    work_off()

    begun = partner.post("/checks", {"file": picture(1, "found.jpg")})

    assert begun.status_code == 202
    body = begun.json()
    assert body["state"] == "queued"
    assert body["verdict"] is None
    assert body["evidence"] == []
    assert body["file"]["name"] == "found.jpg"
    assert body["file"]["sha256"] == hashlib.sha256(jpeg(1)).hexdigest()
    assert begun["Location"] == body["links"]["self"] == f"http://testserver/api/v1/checks/{body['id']}"
    waiting = partner.get(begun["Location"])
    assert waiting["Retry-After"] == "1"
    assert waiting.json()["progress"]["percent"] == 0

    work_off()

    done = partner.get(begun["Location"])
    assert "Retry-After" not in done
    answer = done.json()
    assert answer["state"] == "succeeded"
    assert answer["progress"]["percent"] == 100
    assert {step["state"] for step in answer["progress"]["steps"]} == {"done"}
    assert answer["verdict"]["code"] == "registered"
    assert answer["verdict"]["registry_size"] == 1
    assert ("exact", "for") in {(found["kind"], found["outcome"]) for found in answer["evidence"]}
    assert answer["file"]["width"] == 160
    assert answer["finished_at"]
    receipt = partner.get(answer["links"]["receipt"])
    assert receipt.status_code == 200
    assert receipt.json()["verdict"] == "registered"
    content = receipt.json()
    claimed = content.pop("receipt_sha256")
    assert hashlib.sha256(rfc8785.dumps(content)).hexdigest() == claimed


def test_a_check_belongs_to_the_organisation_and_is_recorded_with_the_key(partner: Partner, cast: Cast) -> None:
    body = partner.post("/checks", {"file": picture()}).json()

    check = Check.objects.get(pk=body["id"])
    assert check.organisation == cast.organisation
    assert check.owner is None
    entry = AuditEntry.objects.get(verb="check.submitted")
    assert (entry.api_key, entry.organisation) == (cast.partner_key, cast.organisation)


def test_the_receipt_is_the_same_bytes_each_time_and_the_same_as_on_the_site(partner: Partner) -> None:
    links = partner.post("/checks", {"file": picture()}).json()["links"]
    work_off()

    first, second = partner.get(links["receipt"]), partner.get(links["receipt"])

    assert first.content == second.content
    page = partner.client.get(links["page"].replace("http://testserver", "") + "receipt.json")
    assert page.content == first.content


def test_there_is_no_receipt_before_the_verdict(partner: Partner) -> None:
    links = partner.post("/checks", {"file": picture()}).json()["links"]

    refused = partner.get(links["receipt"])

    assert refused.status_code == 409
    assert refused.json()["code"] == "conflict"
    assert refused["Retry-After"] == "2"


def test_a_check_that_failed_says_why_and_has_no_receipt(partner: Partner) -> None:
    links = partner.post("/checks", {"file": upload(jpeg(1)[:200])}).json()["links"]
    work_off()

    body = partner.get(links["self"]).json()

    assert body["state"] == "failed"
    assert body["verdict"] is None
    assert body["error"]["code"] == "picture_unreadable"
    assert body["error"]["message"]
    assert partner.get(links["receipt"]).status_code == 410


def test_what_was_found_so_far_is_no_answer(partner: Partner) -> None:
    links = partner.post("/checks", {"file": picture()}).json()["links"]
    work_off()
    assert Evidence.objects.exists()
    Job.objects.update(state="running", finished_at=None, lease_until=timezone.now() + timedelta(minutes=1))

    body = partner.get(links["self"]).json()

    assert body["state"] == "running"
    assert body["verdict"] is None
    assert body["evidence"] == []
    assert partner.get(links["receipt"]).status_code == 409


def test_a_picture_of_too_many_pixels_is_refused_by_the_worker(partner: Partner, settings: Settings) -> None:
    settings.UPLOAD_MAX_PIXELS = 100
    links = partner.post("/checks", {"file": picture()}).json()["links"]
    work_off()

    assert partner.get(links["self"]).json()["error"]["code"] == "picture_unreadable"


def test_asking_again_costs_nothing_while_nothing_has_changed(partner: Partner) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]
    first = partner.get(address)

    same = partner.get(address, If_None_Match=first["ETag"])

    assert same.status_code == 304
    assert same.content == b""
    assert same["ETag"] == first["ETag"]
    assert same["Retry-After"] == "1"
    assert partner.get(address, If_None_Match=f'"other", W/{first["ETag"]}').status_code == 304
    assert partner.get(address, If_None_Match="*").status_code == 304
    work_off()
    changed = partner.get(address, If_None_Match=first["ETag"])
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_no_cache_keeps_an_answer_for_another(partner: Partner) -> None:
    response = partner.get(partner.post("/checks", {"file": picture()})["Location"])

    assert response["Cache-Control"] == "private, no-cache"
    assert "Authorization" in response["Vary"]
    assert partner.get(f"/checks/{uuid.uuid4()}")["Cache-Control"] == "no-store"


def test_head_is_get_without_its_body(partner: Partner) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]

    head = partner.call("HEAD", address)

    assert head.status_code == 200
    assert head.content == b""
    assert head["ETag"] == partner.get(address)["ETag"]


# --- What is sent ---


@pytest.mark.parametrize(
    ("name", "data", "status", "code"),
    [
        ("empty.jpg", b"", 400, "file_empty"),
        ("page.jpg", b"<!doctype html><html><body>not a picture</body></html>", 415, "picture_unreadable"),
        ("vector.jpg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', 415, "picture_unreadable"),
        ("archive.jpg", b"PK\x03\x04" + bytes(100), 415, "picture_unreadable"),
        ("noise.jpg", bytes(range(256)), 415, "picture_unreadable"),
    ],
)
def test_what_is_no_picture_is_refused(partner: Partner, name: str, data: bytes, status: int, code: str) -> None:
    refused = partner.post("/checks", {"file": upload(data, name)})

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert name in refused.json()["detail"]
    assert not Check.objects.exists()


def test_a_file_that_is_too_large_is_refused(partner: Partner, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000

    refused = partner.post("/checks", {"file": picture()})

    assert (refused.status_code, refused.json()["code"]) == (413, "file_too_large")


@pytest.mark.parametrize("data", [None, {}, {"image": "abc"}, {"file": "not a file"}])
def test_a_request_without_a_file_is_refused(partner: Partner, data: dict[str, str] | None) -> None:
    refused = partner.post("/checks", data)

    assert (refused.status_code, refused.json()["code"]) == (400, "file_missing")


@pytest.mark.parametrize("count", [2, 11])
def test_one_picture_with_each_request(partner: Partner, count: int) -> None:
    refused = partner.post("/checks", {"file": [picture(seed) for seed in range(count)]})

    assert (refused.status_code, refused.json()["code"]) == (400, "too_many_files")
    assert str(count) in refused.json()["detail"]
    assert not Check.objects.exists()


def test_more_files_than_any_request_may_bring_are_refused(partner: Partner, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 3

    refused = partner.post("/checks", {"file": [picture(seed) for seed in range(4)]})

    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_files")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"file": "data:image/png;base64,AAAA"}'),
        ("application/json", b'{"file": '),
        ("image/jpeg", jpeg(1)),
        ("text/html", b"<html>"),
        ("application/x-www-form-urlencoded", b"file=abc"),
    ],
)
def test_other_bodies_than_forms_with_files_are_refused(partner: Partner, content_type: str, body: bytes) -> None:
    refused = partner.post("/checks", body, Content_Type=content_type)

    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")
    assert "multipart/form-data" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"no boundary is named"),
        ("multipart/form-data; boundary=", b"--x"),
        ("multipart/form-data; boundary=\xff", b"--x"),
    ],
)
def test_a_broken_form_is_refused(partner: Partner, content_type: str, body: bytes) -> None:
    refused = partner.post("/checks", body, Content_Type=content_type)

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")


def test_a_form_that_was_cut_short_has_no_file_or_half_of_one(partner: Partner) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'

    cut = partner.post("/checks", head + jpeg(1)[:300], Content_Type="multipart/form-data; boundary=x")

    assert cut.status_code in (202, 400)
    if cut.status_code == 202:
        work_off()
        assert partner.get(cut["Location"]).json()["state"] == "failed"


@pytest.mark.parametrize("name", ["../../etc/passwd.jpg", "a\x00b.jpg", "‮gpj.exe.jpg", "x" * 400 + ".jpg"])
def test_a_file_s_name_is_only_ever_shown(partner: Partner, name: str) -> None:
    body = partner.post("/checks", {"file": upload(jpeg(1), name)}).json()

    shown = body["file"]["name"]
    assert "/" not in shown
    assert "\x00" not in shown
    assert "‮" not in shown
    assert len(shown) <= 255


def test_every_format_is_taken(partner: Partner) -> None:
    image = Image.open(io.BytesIO(jpeg(1)))
    for kind in ("PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        assert partner.post("/checks", {"file": upload(buffer.getvalue(), "a.jpg")}).status_code == 202


# --- Cancelling and deleting ---


def test_a_waiting_check_is_cancelled_at_once(partner: Partner) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]

    cancelled = partner.post(f"{address}/cancel")

    assert cancelled.status_code == 200
    assert cancelled.json()["state"] == "cancelled"
    assert cancelled.json()["error"]["code"] == "cancelled"


def test_a_running_check_is_asked_to_stop(partner: Partner) -> None:
    body = partner.post("/checks", {"file": picture()}).json()
    job_claim(job_id=Check.objects.get(pk=body["id"]).job_id)

    cancelled = partner.post(f"/checks/{body['id']}/cancel").json()

    assert cancelled["state"] == "running"
    assert cancelled["cancel_requested"] is True


def test_what_is_over_cannot_be_cancelled(partner: Partner) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]
    work_off()

    refused = partner.post(f"{address}/cancel")

    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


def test_the_uploaded_picture_can_be_deleted_and_the_verdict_stays(partner: Partner, cast: Cast) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]
    work_off()
    check = Check.objects.get()
    assert path_of(Area.CHECKS, check.file_key).exists()

    deleted = partner.delete(address)

    assert deleted.status_code == 204
    assert not path_of(Area.CHECKS, check.file_key).exists()
    body = partner.get(address).json()
    assert body["file"]["kept_until"] is None
    assert body["verdict"]["code"] == "not_found"
    assert AuditEntry.objects.get(verb="check.upload_deleted").api_key == cast.partner_key
    assert partner.delete(address).status_code == 204


# --- Lists ---


def test_the_list_comes_in_pages_newest_first(partner: Partner) -> None:
    ids = [partner.post("/checks", {"file": picture(seed)}).json()["id"] for seed in range(5)]

    first = partner.get("/checks?page_size=2")
    # What is added meanwhile does not shift the pages that follow.
    partner.post("/checks", {"file": picture(9)})
    second = partner.get(first.json()["next"])
    third = partner.get(second.json()["next"])

    pages = [first, second, third]
    assert [row["id"] for page in pages for row in page.json()["results"]] == ids[::-1]
    assert third.json()["next"] is None
    assert f'<{first.json()["next"]}>; rel="next"' in first["Link"]
    assert 'rel="next"' not in third["Link"]
    assert '<http://testserver/api/v1/checks?page_size=2>; rel="first"' in third["Link"]


def test_the_list_has_the_organisation_s_own_only(partner: Partner, stranger: Partner, cast: Cast) -> None:
    mine = partner.post("/checks", {"file": picture(1)}).json()["id"]
    stranger.post("/checks", {"file": picture(2)})
    (of_a_member,) = check_submit(files=[picture(3)], owner=cast.colleague, organisation=cast.organisation)
    check_submit(files=[picture(4)], visitor_digest="somebody", address="192.0.2.1")

    ids = {row["id"] for row in partner.get("/checks").json()["results"]}

    assert ids == {mine, str(of_a_member.pk)}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page_size=0", "page_size"),
        ("page_size=201", "page_size"),
        ("page_size=many", "page_size"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "x" * 1001, "cursor"),
        ("cursor=%00", "cursor"),
    ],
)
def test_a_page_that_is_none_is_refused(partner: Partner, query: str, field: str) -> None:
    refused = partner.get(f"/checks?{query}")

    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert list(refused.json()["fields"]) == [field]


def test_a_cursor_of_another_list_is_refused(partner: Partner, catalogue: Catalogue) -> None:
    for seed in range(2):
        partner.post("/checks", {"file": picture(seed)})
    cursor = partner.get("/checks?page_size=1").json()["next"].partition("?")[2]

    assert partner.get(f"/catalogues/{catalogue.pk}/items?{cursor}").status_code == 400


# --- Who ---


@pytest.mark.parametrize("path", ["", "/receipt"])
def test_another_organisation_s_check_is_not_there(partner: Partner, stranger: Partner, path: str) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]
    work_off()

    assert stranger.get(f"{address}{path}").status_code == 404
    assert partner.get(f"{address}{path}").status_code == 200


def test_another_organisation_s_check_cannot_be_touched(partner: Partner, stranger: Partner) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]

    assert stranger.post(f"{address}/cancel").status_code == 404
    assert stranger.delete(address).status_code == 404
    body = partner.get(address).json()
    assert body["state"] == "queued"
    assert body["file"]["kept_until"]


@pytest.mark.parametrize("name", ["1", "not-a-uuid", "%00", "'; DROP TABLE", "%F0%9F%8E%A8", "0" * 32, "{}"])
def test_what_is_no_id_is_not_there(partner: Partner, name: str) -> None:
    assert partner.get(f"/checks/{name}").status_code == 404
    assert partner.get(f"/checks/{name}/receipt").status_code == 404


def test_an_id_is_known_in_capitals_too(partner: Partner) -> None:
    body = partner.post("/checks", {"file": picture()}).json()

    assert partner.get(f"/checks/{body['id'].upper()}").json()["id"] == body["id"]


def test_a_key_that_reads_does_not_write(partner: Partner, make_partner: MakePartner) -> None:
    reader, writer = make_partner(scopes=["check:read"]), make_partner(scopes=["check:write"])
    address = writer.post("/checks", {"file": picture()})["Location"]

    assert reader.get(address).status_code == 200
    assert writer.get(address).status_code == 403
    refused = reader.post("/checks", {"file": picture()})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    assert "check:write" in refused.json()["detail"]
    assert 'scope="check:write"' in refused["WWW-Authenticate"]
    assert reader.post(f"{address}/cancel").status_code == 403
    assert reader.delete(address).status_code == 403


def test_the_answers_say_nothing_of_keys_of_files(partner: Partner) -> None:
    address = partner.post("/checks", {"file": picture()})["Location"]
    work_off()
    check = Check.objects.get()

    body = json.dumps(partner.get(address).json())

    assert check.file_key not in body

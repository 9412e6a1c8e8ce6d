"""The pages of checks, for people and for scripts, in every state."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webapp.checks.conftest import Register, Submit, edited, flat, sample, upload
from tests.webapp.conftest import Cast
from webapp.checks.card_figures import how_often, percent
from webapp.checks.models import Check
from webapp.checks.services import check_delete, check_submit
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import Progress, job_cancel, job_claim
from webapp.registry.models import Work

pytestmark = pytest.mark.django_db

JSON = {"Accept": "application/json"}


def address(name: str, *arguments: Any) -> str:
    return reverse(f"checks:{name}", args=arguments)


def text(response: Any) -> str:
    """Return what a reader of the page reads."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_it_works() -> None:
    """A visitor sends one picture and comes to its page, which waits, with or without scripts."""
    client = Client()
    response = client.post(address("new"), {"files": upload(sample("calla"))})
    check = Check.objects.get()
    assert response.status_code == 302
    assert response["Location"] == address("detail", check.pk)
    assert (check.owner, len(check.visitor_digest)) == (None, 64)
    page = client.get(response["Location"])
    assert page.status_code == 200
    assert '<noscript><meta http-equiv="refresh"' in page.content.decode()
    assert "Opening the picture" in text(page)
    assert f'data-job-url="/jobs/{check.job_id}/"' in page.content.decode()
    assert "Cancel" in text(page)
    assert page["X-Robots-Tag"] == "noindex"
    assert "no-store" in page["Cache-Control"]


def test_the_form_says_what_may_be_sent_and_what_becomes_of_it(register: Register) -> None:
    register("calla")
    words = text(Client().get(address("new")))
    assert "10 at a time" in words
    assert "deleted after 7 days" in words
    assert "1 registered work" in words
    assert "empty" not in words


def test_an_empty_registry_is_said_before_anything_is_sent() -> None:
    assert "This registry is empty" in text(Client().get(address("new")))


def test_several_pictures_come_to_a_page_of_all() -> None:
    client = Client()
    sent = [upload(sample("calla"), "one.jpg"), upload(sample("bridge"), "two.jpg")]
    response = client.post(address("new"), {"files": sent}, follow=True)
    first, second = Check.objects.order_by("created_at")
    assert response.redirect_chain[0][0] == address("batch", first.batch)
    page = response.content.decode()
    assert page.index("one.jpg") < page.index("two.jpg")
    assert page.count("data-job-url") == 2
    for check in (first, second):
        execute(str(check.job_id))
    words = text(client.get(address("batch", first.batch)))
    assert words.count("Not found here") == 2
    assert "refresh" not in client.get(address("batch", first.batch)).content.decode()


def test_a_script_gets_the_list_of_checks() -> None:
    client = Client()
    response = client.post(address("new"), {"files": [upload(sample("calla")) for _ in range(2)]}, headers=JSON)
    assert response.status_code == 201
    answer = response.json()
    assert response["Location"] == answer["url"] == f"/check/batch/{answer['batch']}/"
    assert len(answer["checks"]) == 2
    for item in answer["checks"]:
        assert client.get(item["url"]).status_code == 200
        assert client.get(item["status_url"]).json()["state"] == "queued"
        assert client.get(item["receipt_url"], headers=JSON).status_code == 409


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ([], 400, "Choose at least one picture"),
        ([(b"just text", "notes.txt")], 415, "“notes.txt” is no picture"),
        ([(b"", "empty.png")], 400, "“empty.png” is empty"),
        ([(b"x", f"{number}.png") for number in range(11)], 400, "11 files came; at most 10"),
    ],
)
def test_a_refusal_shows_the_form_again_with_the_reason(
    files: list[tuple[bytes, str]], status: int, words: str
) -> None:
    data = {"files": [upload(*one) for one in files]}
    page = Client().post(address("new"), data)
    assert page.status_code == status
    assert words in text(page)
    assert 'type="file"' in page.content.decode()
    problem = Client().post(address("new"), {"files": [upload(*one) for one in files]}, headers=JSON)
    assert problem.status_code == status
    assert problem["Content-Type"] == "application/problem+json"
    assert words in problem.json()["detail"]
    assert not Check.objects.exists()


def test_a_body_that_is_too_large_is_refused_before_it_is_read() -> None:
    class Untouched:
        def read(self, *_arguments: Any) -> bytes:
            raise AssertionError("the body was read")

        readline = read

    for headers, kind in (({}, "text/html"), (JSON, "application/problem+json")):
        response = Client().generic(
            "POST",
            address("new"),
            content_type="multipart/form-data; boundary=x",
            headers=headers,
            CONTENT_LENGTH=str(400 * 1024**2),
            **{"wsgi.input": Untouched()},
        )
        assert response.status_code == 413
        assert response["Content-Type"].startswith(kind)
        assert "at most 10 pictures" in response.content.decode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no form at all", "multipart/form-data; boundary=x"),
        (b"no form at all", "multipart/form-data"),
        (b"\xff\xfe" * 50, "multipart/form-data; boundary=\xff"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"y" * 2 * 1024**2 + b"\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (
            b"".join(
                b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\nz\r\n'
                for _ in range(600)
            )
            + b"--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (b"{}", "application/json"),
    ],
)
def test_a_body_that_is_no_form_is_a_clear_refusal(body: bytes, kind: str) -> None:
    response = Client().generic("POST", address("new"), body, content_type=kind)
    assert response.status_code == 400
    assert "pictures" in text(response) or "picture" in text(response)
    assert not Check.objects.exists()


def test_without_the_forms_token_nothing_is_taken() -> None:
    strict = Client(enforce_csrf_checks=True)
    response = strict.post(address("new"), {"files": upload(sample("calla"))})
    assert response.status_code == 403
    assert not Check.objects.exists()
    strict.get(address("new"))
    token = strict.cookies["csrftoken"].value
    sent = strict.post(address("new"), {"files": upload(sample("calla")), "csrfmiddlewaretoken": token})
    assert sent.status_code == 302


def test_too_many_in_an_hour_is_a_page_that_says_when_to_come_back(settings: Any) -> None:
    settings.CHECKS_PER_HOUR_VISITOR = 1
    client = Client()
    client.post(address("new"), {"files": upload(sample("calla"))})
    for someone in (client, Client()):
        page = someone.post(address("new"), {"files": upload(sample("calla"))})
        assert page.status_code == 429
        assert 0 < int(page["Retry-After"]) <= 3601
        assert "Try again in" in text(page)
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert elsewhere.post(address("new"), {"files": upload(sample("calla"))}).status_code == 302


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_other_methods_are_refused(method: str) -> None:
    assert getattr(Client(), method)(address("new")).status_code == 405


@pytest.mark.parametrize("name", ["detail", "receipt", "picture", "delete", "batch"])
def test_what_never_was_is_not_found(name: str) -> None:
    method = Client().post if name == "delete" else Client().get
    assert method(address(name, uuid.uuid4())).status_code == 404


def test_the_result_says_everything(cast: Cast, register: Register, check_now: Submit) -> None:
    work = register("calla")
    check = check_now(edited("calla", "screenshot"), "shot.png")
    page = cast.client("owner").get(address("detail", check.pk))
    words, html = text(page), page.content.decode()
    assert "Registered" in words
    assert check.explanation.split("“")[0].strip() in words
    for part in ("Exact file", "Look-alikes (pdq-v1)", "Look-alikes (phash-v1)", "Side by side", "Your picture"):
        assert part in words
    assert "To expect by chance" in words
    assert "95% bound" in words
    assert "if bits were fair coins; they are not" in words
    assert "verify-v2" in words
    assert f'data-copy="http://testserver{address("detail", check.pk)}"' in html
    assert address("receipt", check.pk) in html
    assert address("compare", check.pk, 0) in html
    assert address("picture", check.pk) in html
    assert reverse("registry:work", args=[work.pk]) in html
    assert "Delete my upload now" in words
    assert "will be deleted on" in words
    assert "refresh" not in html


def test_look_alikes_that_were_set_aside_are_folded_away(
    cast: Cast, register: Register, check_now: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    from provenance.matching.verify import PairKind, PairVerdict

    register("calla")
    rejected = PairVerdict(PairKind.REJECTED, 0.0, None, ["No part of one lies in the other."])
    monkeypatch.setattr("webapp.checks.pairs.verify_described", lambda *_pictures: rejected)
    check = check_now(edited("calla", "social"))
    words = text(cast.client("owner").get(address("detail", check.pk)))
    assert "Not found here" in words
    assert "1 look-alike that verification set aside" in words


@pytest.mark.parametrize(("data", "verdict"), [(flat(), "Cannot tell"), (sample("rocket"), "Not found here")])
def test_other_verdicts_have_their_pages(register: Register, check_now: Submit, data: bytes, verdict: str) -> None:
    register("calla")
    check = check_now(data)
    page = Client().get(address("detail", check.pk))
    assert f"<h1>{verdict}</h1>" in page.content.decode()


def test_a_failed_check_says_why_and_what_to_do(check_now: Submit) -> None:
    check = check_now(sample("calla")[:900])
    page = Client().get(address("detail", check.pk))
    words = text(page)
    assert "could not be done" in words
    assert "Download or export it again" in words
    assert address("new") in page.content.decode()
    assert "picture_unreadable" in words
    assert Client().get(address("receipt", check.pk), headers=JSON).status_code == 410


def test_a_check_can_be_cancelled_and_says_so(cast: Cast, submit: Submit) -> None:
    check = submit(sample("calla"))
    owner = cast.client("owner")
    here = address("detail", check.pk)
    response = owner.post(reverse("jobs:cancel", args=[check.job_id]), {"next": here})
    assert response["Location"] == here
    assert "This check was cancelled" in text(owner.get(here))
    execute(str(check.job_id))
    assert "This check was cancelled" in text(owner.get(here))


def test_a_reload_in_the_middle_shows_the_same_as_the_socket(cast: Cast, submit: Submit) -> None:
    check = submit(sample("calla"))
    job = job_claim(job_id=check.job_id)
    assert job is not None
    Progress(job)("verification", 3, 20)
    html = cast.client("owner").get(address("detail", check.pk)).content.decode()
    assert '<li data-state="current" aria-current="step">Comparing side by side</li>' in html
    assert '<li data-state="done">Taking fingerprints</li>' in html
    job_cancel(job=job)
    assert "data-job-cancel" not in cast.client("owner").get(address("detail", check.pk)).content.decode()


def test_deleting_an_upload_from_its_page(cast: Cast, register: Register, check_now: Submit) -> None:
    register("calla")
    check = check_now(edited("calla", "screenshot"))
    owner = cast.client("owner")
    response = owner.post(address("delete", check.pk), follow=True)
    words = text(response)
    assert "The picture is deleted" in words
    assert "was deleted on" in words
    assert "Registered" in words, "the verdict stays"
    assert address("picture", check.pk) not in response.content.decode()
    assert address("compare", check.pk, 0) not in response.content.decode()
    for gone in (address("picture", check.pk), address("compare", check.pk, 0)):
        assert owner.get(gone).status_code == 404
    assert owner.get(address("receipt", check.pk)).status_code == 200


def test_compare_shows_the_pair_aligned(cast: Cast, register: Register, check_now: Submit) -> None:
    register("calla")
    check = check_now(edited("calla", "screenshot"))
    owner = cast.client("owner")
    page = owner.get(address("compare", check.pk, 0))
    html = page.content.decode()
    for rendition in ("reference", "query", "difference"):
        where = address("rendition", check.pk, 0, rendition)
        assert where in html
        picture = owner.get(where)
        assert picture["Content-Type"] == "image/jpeg"
        assert picture["X-Content-Type-Options"] == "nosniff"
        assert picture["Cache-Control"].startswith("private")
        assert picture.content.startswith(b"\xff\xd8\xff")
    assert owner.get(address("compare", check.pk, 1)).status_code == 404
    assert owner.get(f"/check/{check.pk}/compare/0/other.jpg").status_code == 404


def test_a_preview_carries_no_metadata(cast: Cast, check_now: Submit) -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.open(io.BytesIO(sample("calla"))).save(buffer, "JPEG", exif=exif)
    assert b"taken at home" in buffer.getvalue()
    check = check_now(buffer.getvalue())
    picture = cast.client("owner").get(address("picture", check.pk))
    assert picture["Content-Type"] == "image/jpeg"
    assert b"taken at home" not in picture.content


def test_the_history_lists_what_this_person_sent(cast: Cast, submit: Submit) -> None:
    submit(sample("calla"), "mine.jpg")
    submit(sample("calla"), "theirs.jpg", owner=cast.outsider)
    visitor = Client()
    visitor.post(address("new"), {"files": upload(sample("calla"), "visitors.jpg")})
    assert "mine.jpg" in text(cast.client("owner").get(address("history")))
    assert "theirs.jpg" not in text(cast.client("owner").get(address("history")))
    assert "visitors.jpg" in text(visitor.get(address("history")))
    assert "not checked a picture yet" in text(Client().get(address("history")))


def test_a_visitors_checks_stay_theirs_when_they_log_in(cast: Cast) -> None:
    visitor = Client()
    visitor.post(address("new"), {"files": upload(sample("calla"), "before.jpg")})
    visitor.force_login(cast.outsider, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert "before.jpg" in text(visitor.get(address("history")))
    check = Check.objects.get()
    assert visitor.post(address("delete", check.pk)).status_code == 302


def test_the_history_has_pages(cast: Cast) -> None:
    for _ in range(3):
        check_submit(files=[upload(sample("calla"))] * 10, owner=cast.owner)
    owner = cast.client("owner")
    assert "Page 1 of 2" in text(owner.get(address("history")))
    assert "Page 2 of 2" in text(owner.get(address("history"), {"page": "2"}))
    assert owner.get(address("history"), {"page": "nonsense"}).status_code == 200


def test_a_list_costs_the_same_however_long_it_is(cast: Cast, django_assert_max_num_queries: Any) -> None:
    check_submit(files=[upload(sample("calla"))] * 10, owner=cast.owner)
    owner = cast.client("owner")
    with django_assert_max_num_queries(6):
        owner.get(address("history"))
    batch = Check.objects.first().batch  # type: ignore[union-attr]
    with django_assert_max_num_queries(6):
        owner.get(address("batch", batch))


def test_colleagues_are_offered_and_strangers_refused(cast: Cast) -> None:
    owner = cast.client("owner")
    assert "The Archive" in text(owner.get(address("new")))
    assert "organisation" not in Client().get(address("new")).content.decode().split("<main", 1)[1]
    sent = {"files": upload(sample("calla")), "organisation": str(cast.organisation.pk)}
    owner.post(address("new"), sent)
    assert Check.objects.get().organisation == cast.organisation
    refused = owner.post(address("new"), {"files": upload(sample("calla")), "organisation": str(cast.elsewhere.pk)})
    assert refused.status_code == 400
    assert "not in that organisation" in text(refused)
    assert Check.objects.count() == 1


def test_a_work_deleted_since_is_named_and_no_longer_shown(cast: Cast, register: Register, check_now: Submit) -> None:
    work = register("calla")
    check = check_now(edited("calla", "screenshot"))
    Work.objects.update(deleted_at=timezone.now())
    owner = cast.client("owner")
    page = owner.get(address("detail", check.pk))
    assert "“calla” (registered by The Archive)" in text(page)
    assert str(work.pk) not in page.content.decode()
    assert owner.get(address("compare", check.pk, 0)).status_code == 404
    assert owner.get(address("rendition", check.pk, 0, "reference")).status_code == 404
    Work.objects.all().delete()
    assert owner.get(address("detail", check.pk)).status_code == 200


def test_names_are_escaped(cast: Cast, register: Register, check_now: Submit) -> None:
    register("<script>alert(1)</script>", data=sample("calla"))
    check = check_now(edited("calla", "screenshot"), "<img src=x onerror=alert(1)>.jpg")
    for page in (address("detail", check.pk), address("history"), address("batch", check.batch)):
        html = cast.client("owner").get(page).content.decode()
        assert "<script>alert" not in html
        assert "<img src=x" not in html


def test_no_inline_script_or_style_on_any_page(cast: Cast, register: Register, check_now: Submit) -> None:
    register("calla")
    check = check_now(edited("calla", "screenshot"))
    pages = [
        address("new"),
        address("detail", check.pk),
        address("compare", check.pk, 0),
        address("history"),
        address("batch", check.batch),
    ]
    for page in pages:
        html = cast.client("owner").get(page).content.decode()
        assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", html), page


def test_a_lost_worker_is_told_on_the_page(cast: Cast, submit: Submit) -> None:
    check = submit(sample("calla"))
    Job.objects.filter(pk=check.job_id).update(
        state=JobState.FAILED,
        finished_at=timezone.now(),
        error_code="worker_lost",
        error_message="The program that did this work was stopped each time. Please try again.",
    )
    assert "stopped each time" in text(cast.client("owner").get(address("detail", check.pk)))


def test_the_receipt_is_a_file_to_keep(check_now: Submit) -> None:
    check = check_now(sample("rocket"))
    response = Client().get(address("receipt", check.pk))
    assert response["Content-Type"] == "application/json"
    assert response["Content-Disposition"] == f'attachment; filename="provenance-receipt-{check.pk}.json"'
    assert json.loads(response.content)["verdict"] == "not_found"
    check_delete(check=check)
    assert Client().get(address("receipt", check.pk)).content == response.content


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (0, "none was seen"),
        (2.16e-06, "one in 460,000 checks"),
        (0.0049, "one in 200 checks"),
        (0.5, "0.5 a check"),
        (31.4, "31 a check"),
        (12345.6, "12,346 a check"),
        (1e-36, "fewer than one in a million million checks"),
    ],
)
def test_figures_of_chance_are_said_in_words(expected: float, words: str) -> None:
    assert how_often(expected) == words


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0, "0.01 %"), (0.001234, "0.12 %"), (0.5, "50 %"), (0.9998, "99.98 %"), (0.99999, "99.999 %"), (1, "99.9999 %")],
)
def test_probabilities_are_never_rounded_to_certainty(probability: float, words: str) -> None:
    assert percent(probability) == words

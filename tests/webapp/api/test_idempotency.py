"""Writes that are sent twice: done once, answered twice, told apart, and never half-remembered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from tests.webapp.api.conftest import MakePartner, Partner, picture, upload, work_off
from tests.webapp.conftest import Cast
from tests.webapp.pictures import jpeg
from webapp.accounts.models import ApiKey
from webapp.api import checks, idempotency
from webapp.api.models import IdempotencyRecord
from webapp.catalogues.models import Catalogue, CatalogueImport, CatalogueItem
from webapp.checks.models import Check
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.management.commands.worker import HOUSEKEEPING
from webapp.jobs.models import Job

NAME = "5b6f3f0a-8a53-4a7d-a7a2-6cf0c2f4a001"


def test_it_works(partner: Partner) -> None:
    first = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    second = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.content == first.content
    assert second["Location"] == first["Location"]
    assert second["Content-Type"] == first["Content-Type"]
    assert second["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert Check.objects.count() == Job.objects.count() == 1


def test_the_stored_answer_is_given_whatever_has_happened_since(partner: Partner) -> None:
    first = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    work_off()

    second = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    assert second.content == first.content
    assert second.json()["state"] == "queued"
    assert partner.get(first["Location"]).json()["state"] == "succeeded"


def test_without_a_key_a_write_is_done_each_time(partner: Partner) -> None:
    for _time in range(2):
        partner.post("/checks", {"file": picture()})

    assert Check.objects.count() == 2
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize(
    "other",
    [
        {"file": picture(2)},
        {"file": picture(1, "other.jpg")},
        {"file": picture(1), "note": "x"},
        {"files": picture(1)},
        {},
    ],
)
def test_another_request_under_the_same_name_is_refused(partner: Partner, other: dict[str, Any]) -> None:
    for sent in other.values():
        if not isinstance(sent, str):
            sent.seek(0)
    first = partner.post("/checks", {"file": picture(1)}, Idempotency_Key=NAME)

    refused = partner.post("/checks", other, Idempotency_Key=NAME)

    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_mismatch")
    assert Check.objects.count() == 1
    assert partner.post("/checks", {"file": picture(1)}, Idempotency_Key=NAME).content == first.content


def test_another_address_under_the_same_name_is_refused(partner: Partner) -> None:
    first = partner.post("/checks", {"file": picture(1)}, Idempotency_Key=NAME)

    assert partner.delete(first["Location"], Idempotency_Key=NAME).status_code == 422
    assert partner.post(f"{first['Location']}/cancel", Idempotency_Key=NAME).status_code == 422
    assert Check.objects.get().file_deleted_at is None


def test_every_write_takes_a_name(partner: Partner, catalogue: Catalogue) -> None:
    adding = f"/catalogues/{catalogue.pk}/items"
    added = [partner.post(adding, {"file": picture(1)}, Idempotency_Key="add") for _time in range(2)]
    assert added[0].content == added[1].content
    assert CatalogueImport.objects.count() == 1
    work_off()
    item = f"/items/{CatalogueItem.objects.get().pk}"
    deleted = [partner.delete(item, Idempotency_Key="delete") for _time in range(2)]
    assert [answer.status_code for answer in deleted] == [204, 204]
    assert deleted[1]["Idempotency-Replayed"] == "true"
    assert "Content-Type" not in deleted[1]
    assert partner.delete(item).status_code == 404

    check = partner.post("/checks", {"file": picture(2)})["Location"]
    cancelled = [partner.post(f"{check}/cancel", Idempotency_Key="cancel") for _time in range(2)]
    assert [answer.status_code for answer in cancelled] == [200, 200]
    assert cancelled[0].content == cancelled[1].content
    removed = [partner.delete(check, Idempotency_Key="remove") for _time in range(2)]
    assert [answer.status_code for answer in removed] == [204, 204]


def test_names_of_one_key_say_nothing_to_another(partner: Partner, make_partner: MakePartner) -> None:
    colleague = make_partner()

    first = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    second = colleague.post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    assert "Idempotency-Replayed" not in second
    assert first.json()["id"] != second.json()["id"]


def test_a_refusal_that_stays_is_kept(partner: Partner) -> None:
    first = partner.post("/checks", {"file": upload(b"no picture")}, Idempotency_Key=NAME)
    second = partner.post("/checks", {"file": upload(b"no picture")}, Idempotency_Key=NAME)

    assert (first.status_code, second.status_code) == (415, 415)
    assert second.content == first.content
    assert second["Content-Type"] == "application/problem+json"
    assert second["Idempotency-Replayed"] == "true"


def test_what_is_meant_to_be_tried_again_is_not_kept(
    partner: Partner, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = partner.post("/checks", {"file": picture()})["Location"]
    work_off()
    for _time in range(2):
        conflict = partner.post(f"{check}/cancel", Idempotency_Key="conflict")
        assert conflict.status_code == 409
        assert "Idempotency-Replayed" not in conflict

    settings.CHECKS_PER_HOUR_KEY = 1
    limited = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    assert limited.status_code == 429
    settings.CHECKS_PER_HOUR_KEY = 100

    def fail(**_: Any) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(checks, "check_submit", fail)
        assert partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME).status_code == 500
    assert not IdempotencyRecord.objects.exists()
    assert partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME).status_code == 202


def test_what_a_failed_write_did_is_undone_with_it(partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = checks.check_submit

    def fail_late(**arguments: Any) -> None:
        submit(**arguments)
        raise RuntimeError("a fault after the rows were written")

    with monkeypatch.context() as broken:
        broken.setattr(checks, "check_submit", fail_late)
        failed = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    assert failed.status_code == 500
    assert "fault after" not in failed.content.decode()
    assert not Check.objects.exists()
    assert partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME).status_code == 202
    assert Check.objects.count() == 1


def test_what_a_refused_write_did_is_undone_though_its_answer_is_kept(
    partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = checks.check_submit

    def refuse_late(**arguments: Any) -> None:
        submit(**arguments)
        raise ProductError(ErrorCode.FILE_EMPTY, "A refusal after the rows were written.")

    monkeypatch.setattr(checks, "check_submit", refuse_late)
    answers = [partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME) for _time in range(2)]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert not Check.objects.exists()


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 256, "é", "a\tb"])
def test_a_name_that_is_none_is_refused(partner: Partner, name: str) -> None:
    refused = partner.post("/checks", {"file": picture()}, Idempotency_Key=name)

    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["Idempotency-Key"])
    assert not Check.objects.exists()


@pytest.mark.parametrize("name", ["x", "x" * 255, '"quoted"', "a/b?c=d&e#f"])
def test_any_visible_name_will_do(partner: Partner, name: str) -> None:
    for _time in range(2):
        assert partner.post("/checks", {"file": picture()}, Idempotency_Key=name).status_code == 202

    assert Check.objects.count() == 1


def test_a_name_is_kept_for_a_day_and_then_free(partner: Partner) -> None:
    first = partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=23, minutes=59))
    assert partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME).content == first.content

    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    again = partner.post("/checks", {"file": picture(2)}, Idempotency_Key=NAME)

    assert again.status_code == 202
    assert again.json()["id"] != first.json()["id"]


def test_old_records_are_deleted_by_the_worker(partner: Partner) -> None:
    assert idempotency.records_purge in HOUSEKEEPING
    partner.post("/checks", {"file": picture(1)}, Idempotency_Key="old")
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=25))
    partner.post("/checks", {"file": picture(2)}, Idempotency_Key="new")

    assert idempotency.records_purge() == 1
    assert IdempotencyRecord.objects.count() == 1


def test_the_record_has_neither_name_nor_secret(partner: Partner, cast: Cast) -> None:
    partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    row = str(IdempotencyRecord.objects.values().get())

    assert NAME not in row
    assert cast.partner_secret not in row


# --- At once, in two transactions ---


class Elsewhere(threading.Thread):
    """Runs a call in a thread with a database connection of its own, and keeps what it returns."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self._call = call
        self.result: Any = None
        self.start()

    def run(self) -> None:
        """Do it."""
        try:
            self.result = self._call()
        finally:
            connection.close()


def test_the_same_write_twice_at_once_is_done_once(committed_secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, at_work, go_on = checks.check_submit, threading.Event(), threading.Event()

    def slowly(**arguments: Any) -> Any:
        at_work.set()
        assert go_on.wait(20)
        return submit(**arguments)

    monkeypatch.setattr(checks, "check_submit", slowly)
    first = Elsewhere(lambda: Partner(committed_secret).post("/checks", {"file": picture()}, Idempotency_Key=NAME))
    assert at_work.wait(20)

    busy = Partner(committed_secret).post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    other = Elsewhere(lambda: Partner(committed_secret).get("/me"))
    other.join(20)
    go_on.set()
    first.join(20)

    assert (busy.status_code, busy.json()["code"]) == (409, "idempotency_busy")
    assert int(busy["Retry-After"]) > 0
    assert other.result.status_code == 200
    assert first.result.status_code == 202
    after = Partner(committed_secret).post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    assert after.content == first.result.content
    assert after["Idempotency-Replayed"] == "true"
    assert Check.objects.count() == Job.objects.count() == 1


def test_many_at_once_leave_one_check(committed_secret: str) -> None:
    start = threading.Barrier(4)

    def send() -> Any:
        start.wait(20)
        return Partner(committed_secret).post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    threads = [Elsewhere(send) for _number in range(4)]
    for thread in threads:
        thread.join(20)

    answers = [thread.result for thread in threads]
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.content for answer in answers if answer.status_code == 202}) == 1
    assert Check.objects.count() == Job.objects.count() == 1


def test_a_process_that_dies_leaves_nothing_behind(committed_secret: str) -> None:
    """A backend that is killed in the middle takes its lock, its check and its record with it."""
    pids: list[int] = []
    submit = checks.check_submit

    def die(**arguments: Any) -> Any:
        submit(**arguments)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pids.append(cursor.fetchone()[0])
            cursor.execute("SELECT pg_terminate_backend(%s)", pids)
        raise AssertionError("the connection is gone")

    def send() -> Any:
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(checks, "check_submit", die)
            return Partner(committed_secret).post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    dead = Elsewhere(send)
    dead.join(20)

    assert pids
    assert dead.result.status_code == 500
    assert not Check.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    again = Partner(committed_secret).post("/checks", {"file": picture()}, Idempotency_Key=NAME)
    assert again.status_code == 202
    assert "Idempotency-Replayed" not in again
    assert Check.objects.count() == 1


def test_records_go_with_their_key(partner: Partner, cast: Cast) -> None:
    partner.post("/checks", {"file": picture()}, Idempotency_Key=NAME)

    with transaction.atomic():
        ApiKey.objects.filter(pk=cast.partner_key.pk).delete()

    assert not IdempotencyRecord.objects.exists()


def test_a_large_file_is_told_from_another_by_its_content(partner: Partner, settings: Settings) -> None:
    """Files past this size lie on disk while the request runs."""
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 100
    first = partner.post("/checks", {"file": upload(jpeg(1))}, Idempotency_Key=NAME)

    assert partner.post("/checks", {"file": upload(jpeg(1))}, Idempotency_Key=NAME).content == first.content
    assert partner.post("/checks", {"file": upload(jpeg(2))}, Idempotency_Key=NAME).status_code == 422

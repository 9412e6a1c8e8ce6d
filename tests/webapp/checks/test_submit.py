"""Sending pictures: what is taken, and every refusal."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django_q.models import OrmQ

from tests.webapp.checks.conftest import sample, upload
from tests.webapp.conftest import Cast
from webapp import files
from webapp.accounts.models import AuditEntry
from webapp.checks import services
from webapp.checks.models import Check
from webapp.checks.services import check_submit, shown_name
from webapp.errors import ErrorCode, ProductError
from webapp.files import Area, sha256_of
from webapp.jobs.models import Job

pytestmark = pytest.mark.django_db


def nothing_is_left() -> bool:
    stored = [path for path in files.path_of(Area.CHECKS, "0" * 64).parents[1].rglob("*") if path.is_file()]
    return not (Check.objects.exists() or Job.objects.exists() or OrmQ.objects.exists() or stored)


def test_it_works(cast: Cast) -> None:
    data = sample("calla")
    (check,) = check_submit(files=[upload(data, "my calla.jpg")], owner=cast.owner, organisation=cast.organisation)
    check.refresh_from_db()
    assert (check.owner, check.organisation) == (cast.owner, cast.organisation)
    assert (check.filename, check.media_type) == ("my calla.jpg", "image/jpeg")
    assert (check.sha256, check.byte_size) == (sha256_of(data), len(data))
    assert files.read(Area.CHECKS, check.file_key) == data
    assert check.job.watched_by_link
    assert [key for key, _label in check.job.steps][:10] == [
        "received",
        "decode",
        "exact",
        "fingerprints",
        "candidates",
        "signature",
        "deephash",
        "verification",
        "private",
        "weighing",
    ]
    assert check.job.steps[-1][0] == "verdict"
    assert OrmQ.objects.count() == 1
    entry = AuditEntry.objects.get(verb="check.submitted")
    assert entry.actor_id == cast.owner.pk
    assert entry.data["checks"] == [str(check.pk)]
    assert "calla" not in str(entry.data), "names of files are not for the record"


def test_pictures_sent_together_share_a_batch_and_keep_their_order(cast: Cast) -> None:
    sent = [upload(sample(name), f"{name}.jpg") for name in ("calla", "bridge", "calla")]
    checks = check_submit(files=sent, visitor_digest="v" * 64)
    assert len({check.batch for check in checks}) == 1
    assert len({check.file_key for check in checks}) == 3, "each has a file of its own, even of the same bytes"
    assert [check.filename for check in checks] == ["calla.jpg", "bridge.jpg", "calla.jpg"]
    assert AuditEntry.objects.filter(verb="check.submitted").count() == 1


@pytest.mark.parametrize(
    ("sent", "code", "status", "words"),
    [
        ([], ErrorCode.FILE_MISSING, 400, "Choose at least one"),
        ([b""], ErrorCode.FILE_EMPTY, 400, "“0.jpg” is empty"),
        ([b"GIF no more"], ErrorCode.PICTURE_UNREADABLE, 415, "“0.jpg” is no picture"),
        ([b"%PDF-1.7 " * 100], ErrorCode.PICTURE_UNREADABLE, 415, "Send JPEG, PNG"),
        ([b"<svg xmlns='http://www.w3.org/2000/svg'/>"], ErrorCode.PICTURE_UNREADABLE, 415, "no picture"),
        (["picture", b"text", b""], ErrorCode.PICTURE_UNREADABLE, 415, "1 more file was refused"),
        (["picture"] * 11, ErrorCode.TOO_MANY_FILES, 400, "11 files came; at most 10"),
        (["large"], ErrorCode.FILE_TOO_LARGE, 413, "the limit is 100.0"),
    ],
)
def test_every_refusal_says_what_to_do_and_leaves_nothing(
    settings: Any, sent: list[bytes | str], code: ErrorCode, status: int, words: str
) -> None:
    settings.UPLOAD_MAX_BYTES = 100 * 1024
    contents = {"picture": sample("calla"), "large": sample("calla") + b"\0" * 100 * 1024}
    uploads = [
        upload(contents[one] if isinstance(one, str) else one, f"{number}.jpg") for number, one in enumerate(sent)
    ]
    with pytest.raises(ProductError) as refusal:
        check_submit(files=uploads, visitor_digest="v" * 64)
    assert (refusal.value.code, refusal.value.status) == (code, status)
    assert words in str(refusal.value.message)
    assert nothing_is_left()


def test_each_bad_file_of_several_is_named(cast: Cast) -> None:
    sent = [upload(b"text", "notes.txt"), upload(sample("calla"), "good.jpg"), upload(b"", "gone.png")]
    with pytest.raises(ProductError) as refusal:
        check_submit(files=sent, owner=cast.owner)
    sentences = refusal.value.fields["files"]
    assert len(sentences) == 2
    assert "notes.txt" in sentences[0]
    assert "gone.png" in sentences[1]
    assert "Nothing was checked" in str(refusal.value.message)
    assert nothing_is_left()


def test_a_failure_half_way_leaves_neither_rows_nor_files(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail_at_the_second(**arguments: Any) -> Job:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError
        return job_create(**arguments)

    job_create = services.job_create
    monkeypatch.setattr(services, "job_create", fail_at_the_second)
    with pytest.raises(RuntimeError):
        check_submit(files=[upload(sample("calla")), upload(sample("bridge"))], owner=cast.owner)
    assert nothing_is_left()


def test_limits_are_counted_by_person_address_and_file(cast: Cast, settings: Any) -> None:
    settings.CHECKS_PER_HOUR_VISITOR, settings.CHECKS_PER_HOUR_USER = 2, 3

    def send(count: int = 1, **who: Any) -> None:
        check_submit(files=[upload(sample("calla"))] * count, **who)

    send(2, visitor_digest="a" * 64, address="192.0.2.1")
    with pytest.raises(ProductError) as refusal:
        send(visitor_digest="b" * 64, address="192.0.2.1")
    assert refusal.value.status == 429
    assert refusal.value.retry_after is not None
    assert 0 < refusal.value.retry_after <= 3601
    send(visitor_digest="b" * 64, address="192.0.2.2")
    send(3, owner=cast.owner, address="192.0.2.1")
    with pytest.raises(ProductError, match="rate_limited"):
        send(owner=cast.owner, address="192.0.2.9")
    send(owner=cast.outsider)
    send(5, organisation=cast.organisation, api_key=cast.partner_key)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("holiday.jpg", "holiday.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\me.png", "me.png"),
        ("a\x00b\r\nc\x1b[31m.jpg", "abc[31m.jpg"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ("x" * 300, "x" * 255),
        ("..", ".."),
        ("", "picture"),
        (None, "picture"),
        ("/", "picture"),
        ("Übersicht 写真.jpg", "Übersicht 写真.jpg"),
    ],
)
def test_a_name_is_shown_and_never_used(given: str | None, shown: str) -> None:
    assert shown_name(given) == shown


def test_a_hostile_name_goes_nowhere(cast: Cast) -> None:
    sent = upload(sample("calla"))
    sent._name = "../../../tmp/evil.jpg"  # type: ignore[attr-defined]  # Django's own class cleans it; others may not
    (check,) = check_submit(files=[sent], owner=cast.owner)
    assert check.filename == "evil.jpg"
    assert check.file_key == f"{check.sha256}-{check.pk.hex}"
    assert uuid.UUID(check.file_key.rsplit("-", 1)[1]) == check.pk

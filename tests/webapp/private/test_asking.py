"""A check asks private catalogues: what is said, what it costs, what happens when something dies, and who is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import psutil
import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from provenance.private_lookup.client import AnsweringKeyholder
from tests.webapp.checks.conftest import flat, upload
from tests.webapp.conftest import Cast
from tests.webapp.pages.test_public import Page
from tests.webapp.pictures import jpeg, png
from tests.webapp.private.conftest import Keyholders, begin, fill
from webapp.accounts.models import AuditEntry, User
from webapp.catalogues.models import Catalogue
from webapp.checks.models import Check, EvidenceKind, Verdict
from webapp.checks.receipt import receipt
from webapp.checks.services import check_submit
from webapp.embedded.waiting import within
from webapp.errors import ProductError
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import job_cancel
from webapp.private import asking
from webapp.private.alarms import alarm_if_due, alarms_of
from webapp.private.models import PrivateCatalogue, PrivateQuestion, QuestionState
from webapp.private.storage import meeting_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def private(cast: Cast, catalogue: Catalogue, place: Keyholders) -> PrivateCatalogue:
    """A private catalogue of three pictures."""
    made = begin(cast, catalogue)
    fill(cast, made, {f"{seed}.png": png(seed) for seed in (1, 2, 3)})
    return made


def ask(private: PrivateCatalogue, data: bytes, owner: User, *, which: bool = False, run: bool = True) -> Check:
    wanted = {"private_catalogues": [str(private.catalogue_id)], "private_which": which}
    (check,) = check_submit(files=[upload(data)], owner=owner, wanted=wanted)
    if run:
        execute(str(check.job_id))
    return Check.objects.get(pk=check.pk)


def said(check: Check) -> dict[str, Any]:
    data: dict[str, Any] = check.evidence.get(kind=EvidenceKind.PRIVATE).data
    return data


def test_it_works(cast: Cast, private: PrivateCatalogue) -> None:
    form = cast.client("outsider").get(reverse("checks:new")).content.decode()
    assert "“Prints” of The Archive: 3 entries, how long it takes is not known yet, 20 questions left today" in form
    assert "Ask private catalogues too" not in cast.client("anonymous").get(reverse("checks:new")).content.decode()
    sent = {
        "files": upload(jpeg(2)),
        "private_catalogues": str(private.catalogue_id),
        "private_which": "on",
    }
    page = cast.client("outsider").post(reverse("checks:new"), sent)["Location"]
    check = Check.objects.get()
    execute(str(check.job_id))
    check.refresh_from_db()
    assert check.verdict == Verdict.PRIVATE_MATCH
    assert "encrypted, so that nobody could lay the two over each other" in check.explanation
    data = said(check)
    assert (data["matches"], data["places"], data["entries"], data["verified"]) == (True, [[0, 1]], 3, False)
    assert data["numbers"] == [2]
    assert data["policies"] == ["bit", "who"]
    assert 0 < data["expected_false"]["upper_bound"] < 1e-5
    assert data["seconds"] > 0
    assert data["sent_bytes"] > 1000
    assert receipt(check)["verdict_words"] == "A private catalogue reports a match"
    shown = cast.client("anonymous").get(page).content.decode()
    assert Page(shown).inline == []
    for words in (
        "A private catalogue reports a match",
        "A report of a match is no proof of one",
        "at most 32 of 256 bits differ",
        "Learnt by the keyholders archive, museum",
        "which entries match",
    ):
        assert words in shown, words
    # The holder sees that somebody asked, not what was answered.
    page = cast.client("owner").get(reverse("private:page", args=[private.catalogue_id])).content.decode()
    assert "which entry matches" in page
    assert "seconds and" in page
    assert "2. 2.png" in page

    # A stranger's picture is not there, and nothing more is asked, or counted.
    check = ask(private, jpeg(77), cast.outsider, which=True)
    assert (check.verdict, said(check)["matches"], said(check)["policies"]) == (Verdict.NOT_FOUND, False, ["bit"])
    assert asking.PrivateQuestion.objects.filter(state=QuestionState.FAILED, attempts=0).count() == 1
    assert "reports no match" in check.evidence.get(kind=EvidenceKind.PRIVATE).summary
    # Run twice, it asks once.
    before = PrivateQuestion.objects.filter(check_row=check).get(policy="bit").attempts
    Check.objects.filter(pk=check.pk).update(verdict="")
    Job.objects.filter(pk=check.job_id).update(state=JobState.QUEUED, finished_at=None)
    execute(str(check.job_id))
    assert PrivateQuestion.objects.filter(check_row=check).get(policy="bit").attempts == before
    # A worker that was killed after a match and before it asked which: the next one asks.
    matched = Check.objects.exclude(pk=check.pk).get()
    PrivateQuestion.objects.filter(check_row=matched, policy="who").update(
        state=QuestionState.WAITING, attempts=0, places=[]
    )
    matched.evidence.all().delete()
    Check.objects.filter(pk=matched.pk).update(verdict="")
    Job.objects.filter(pk=matched.job_id).update(state=JobState.QUEUED, finished_at=None)
    execute(str(matched.job_id))
    assert said(matched)["places"] == [[0, 1]]
    # One that cannot be hashed is not asked about.
    check = ask(private, flat(), cast.outsider)
    assert "too simple to be asked about" in said(check)["reason"]


def test_nobody_asks_too_often(cast: Cast, private: PrivateCatalogue, settings: Any) -> None:
    settings.PRIVATE_QUESTIONS_PER_DAY = 2
    ask(private, jpeg(1), cast.outsider, which=True, run=False)
    with pytest.raises(ProductError, match="2 questions in 24 hours") as refused:
        ask(private, jpeg(1), cast.outsider, run=False)
    assert refused.value.status == 429
    assert 86_000 < (refused.value.retry_after or 0) <= 86_400
    assert Check.objects.count() == 1
    # Others have their own, as far as what keyholders answer to all of them goes.
    ask(private, jpeg(1), cast.colleague, run=False)
    PrivateQuestion.objects.filter(credential=f"user:{cast.outsider.pk}").update(
        created_at=timezone.now() - timedelta(hours=25)
    )
    ask(private, jpeg(1), cast.outsider, run=False)
    settings.PRIVATE_QUESTIONS_PER_DAY = 1000
    for _number in range(98):
        PrivateQuestion.objects.create(private=private, credential="user:other", policy="bit", attempts=1)
    with pytest.raises(ProductError, match="100 questions in 24 hours"):
        ask(private, jpeg(1), cast.owner, run=False)
    with pytest.raises(ProductError, match="Log in"):
        check_submit(
            files=[upload(jpeg(1))], visitor_digest="x", wanted={"private_catalogues": [str(private.catalogue_id)]}
        )
    response = cast.client("outsider").post(
        reverse("checks:new"), {"files": upload(jpeg(1)), "private_catalogues": str(cast.organisation.pk)}
    )
    assert response.status_code == 400


def test_many_hits_are_told_to_the_holder_once(
    cast: Cast, private: PrivateCatalogue, django_capture_on_commit_callbacks: Any
) -> None:
    for _number in range(3):
        question = PrivateQuestion.objects.create(
            private=private,
            credential=f"user:{cast.outsider.pk}",
            policy="bit",
            state=QuestionState.ANSWERED,
            attempts=1,
            matches=True,
        )
        with django_capture_on_commit_callbacks(execute=True):
            alarm_if_due(question)
            alarm_if_due(question)
    (message,) = mail.outbox
    assert message.to == ["owner@archive.example"]
    assert "3 questions, of which this site knows 3" in message.body
    (entry,) = alarms_of(private)
    assert isinstance(entry, AuditEntry)
    assert entry.data["hits"] == 3
    page = cast.client("owner").get(reverse("private:page", args=[private.catalogue_id])).content.decode()
    assert "they may be finding a hash out" in page
    who = f"a person with an account (no. {cast.outsider.pk})"
    assert (who in page, who in message.body) == (True, True)


class Dying:
    """A keyholder before whose answer something happens, once."""

    def __init__(self, keyholder: AnsweringKeyholder, happening: Callable[[], None]) -> None:
        self._keyholder, self._happening = keyholder, happening
        self.commit, self.reveal, self.check = keyholder.commit, keyholder.reveal, keyholder.check
        self.admit = keyholder.admit

    def answer(self, checks: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        self._happening()
        return self._keyholder.answer(checks, outputs)


def happens_once(monkeypatch: pytest.MonkeyPatch, happening: Callable[[], None]) -> None:
    """Have something happen in the middle of the next question, before the last keyholder answers."""
    real, left = asking.keyholders_of, [happening]

    def keyholders(private: PrivateCatalogue) -> list[Any]:
        first, last = real(private)
        return [first, Dying(last, left.pop()) if left else last]

    monkeypatch.setattr(asking, "keyholders_of", keyholders)


def test_what_dies_in_the_middle_is_asked_once_more(
    cast: Cast, private: PrivateCatalogue, place: Keyholders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_SECONDS_TO_COME_BACK", 1.0)

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(meeting_of(private).socket("museum"))) == 0

    def restart() -> None:
        place.kill("museum")
        place.start("museum")
        # It is there again, and knows nothing of the question.
        assert within(60, answers)

    happens_once(monkeypatch, restart)
    check = ask(private, jpeg(1), cast.outsider)
    question = PrivateQuestion.objects.get(check_row=check)
    assert (question.state, question.attempts, question.matches) == (QuestionState.ANSWERED, 2, True)

    def kill_engine() -> None:
        engines = [
            child for child in psutil.Process().children() if "engine_process" in " ".join(child.cmdline())
        ]
        assert engines
        for engine in engines:
            engine.kill()

    happens_once(monkeypatch, kill_engine)
    check = ask(private, jpeg(1), cast.outsider)
    assert said(check)["matches"] is True
    # A worker that was killed had begun: asked once more, and no third time.
    for attempts, state in ((1, QuestionState.ANSWERED), (2, QuestionState.FAILED)):
        check = ask(private, jpeg(1), cast.outsider, run=False)
        PrivateQuestion.objects.filter(check_row=check).update(attempts=attempts, state=QuestionState.ASKED)
        execute(str(check.job_id))
        assert PrivateQuestion.objects.get(check_row=check).state == state
        check.job.refresh_from_db()
        assert check.job.state == JobState.SUCCEEDED
    assert "was stopped each time" in said(check)["reason"]


def test_a_keyholder_that_stays_away_is_said_and_nothing_hangs(
    cast: Cast, private: PrivateCatalogue, place: Keyholders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "_SECONDS_TO_COME_BACK", 1.0)
    happens_once(monkeypatch, lambda: place.kill("museum"))
    check = ask(private, jpeg(1), cast.outsider)
    assert check.verdict == Verdict.NOT_FOUND
    data = said(check)
    assert (data["state"], data["matches"]) == ("failed", None)
    assert "does not answer" in data["reason"]
    assert "did not answer" in check.evidence.get(kind=EvidenceKind.PRIVATE).summary


def test_it_stops_when_its_sender_says_so(
    cast: Cast, private: PrivateCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = ask(private, jpeg(1), cast.outsider, run=False)
    release = threading.Event()
    monkeypatch.setattr(asking, "_EVERY", 0.05)

    def cancel() -> None:
        release.wait(20)

    happens_once(monkeypatch, cancel)
    real = asking._watched

    def watched(engine: Any, once: Any, tell: Callable[[str], None]) -> Any:
        def cancelling(words: str) -> None:
            if "answer" in words:
                job_cancel(job=check.job)
            tell(words)

        return real(engine, once, cancelling)

    monkeypatch.setattr(asking, "_watched", watched)
    execute(str(check.job_id))
    release.set()
    check.job.refresh_from_db()
    assert check.job.state == JobState.CANCELLED

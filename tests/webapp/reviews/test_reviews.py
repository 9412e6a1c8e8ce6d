"""Matches: how they come into the queue, what people decide, and that it is remembered for the pair."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.webapp.conftest import Cast
from tests.webapp.reviews.conftest import checked
from webapp.accounts.models import AuditEntry, User
from webapp.checks.models import EvidenceKind, Outcome, Verdict
from webapp.checks.receipt import receipt_bytes
from webapp.errors import ProductError
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.registry.models import Work
from webapp.reviews.models import Decision, Match, MatchState
from webapp.reviews.selectors import works_rejected
from webapp.reviews.services import LOCK_MINUTES, decision_undo, match_decide, match_open

pytestmark = pytest.mark.django_db


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def decide(match: Match, state: str, reviewer: User) -> Decision:
    match.refresh_from_db()
    return match_decide(match=match, state=state, seen_state=match.state, reviewer=reviewer)


def test_it_works(work: Work, reviewer: User) -> None:
    check = checked()
    assert check.verdict == Verdict.REGISTERED
    match = Match.objects.get()
    assert (match.work, match.state, match.times_seen) == (work, MatchState.OPEN, 1)
    assert works_rejected(check) == set()
    client = browser(reviewer)
    assert b"Coffee" in client.get(reverse("reviews:queue")).content
    page = client.get(reverse("reviews:match", args=[match.pk]))
    assert page.status_code == 200
    answer = client.post(
        reverse("reviews:decide", args=[match.pk]), {"state": "rejected", "seen_state": "open", "note": "a poster"}
    )
    assert answer.status_code == 302
    match.refresh_from_db()
    assert match.state == MatchState.REJECTED
    assert match.decisions.get().note == "a poster"
    assert works_rejected(check) == {work.pk}
    assert AuditEntry.objects.filter(verb="match.decided", object_id=match.pk, actor=reviewer).count() == 1


@pytest.mark.parametrize(
    ("state", "outcome", "verdict"),
    [
        ("rejected", Outcome.AGAINST, Verdict.NOT_FOUND),
        ("confirmed", Outcome.FOR, Verdict.REGISTERED),
        ("unsure", Outcome.NEUTRAL, Verdict.REGISTERED),
    ],
)
def test_a_decision_is_remembered_for_the_pair(
    work: Work, reviewer: User, state: str, outcome: str, verdict: str
) -> None:
    checked()
    decide(Match.objects.get(), state, reviewer)
    again = checked()
    assert again.verdict == verdict
    assert again.evidence.get(kind=EvidenceKind.REVIEW).outcome == outcome
    match = Match.objects.get()
    assert (match.state, match.times_seen, match.latest_check) == (state, 2, again)


def test_a_given_verdict_stays_and_its_page_says_what_came_after(work: Work, reviewer: User) -> None:
    check = checked()
    before = receipt_bytes(check)
    decide(Match.objects.get(), "rejected", reviewer)
    check.refresh_from_db()
    assert check.verdict == Verdict.REGISTERED
    assert receipt_bytes(check) == before
    page = Client().get(reverse("checks:detail", args=[check.pk]))
    assert b"Since this verdict was given" in page.content


def test_the_same_check_run_twice_counts_once(work: Work) -> None:
    check = checked()
    Job.objects.filter(pk=check.job_id).update(state=JobState.QUEUED, finished_at=None, lease_until=None)
    type(check).objects.filter(pk=check.pk).update(verdict="")
    execute(str(check.job_id))
    assert Match.objects.get().times_seen == 1


def test_an_exact_copy_is_nothing_to_review(work: Work, settings: object) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    from webapp import files
    from webapp.checks.services import check_submit

    data = files.read(files.Area.WORKS, work.sha256)
    (check,) = check_submit(files=[SimpleUploadedFile("same.jpg", data)], visitor_digest="v" * 64)
    execute(str(check.job_id))
    assert not Match.objects.exists()


def test_undo_brings_back_what_stood_before(work: Work, reviewer: User) -> None:
    checked()
    match = Match.objects.get()
    decide(match, "unsure", reviewer)
    second = decide(match, "confirmed", reviewer)
    decision_undo(decision=second, reviewer=reviewer)
    match.refresh_from_db()
    assert match.state == MatchState.UNSURE
    with pytest.raises(ProductError, match="undone or followed"):
        decision_undo(decision=second, reviewer=reviewer)
    decision_undo(decision=match.decisions.get(state="unsure"), reviewer=reviewer)
    match.refresh_from_db()
    assert (match.state, match.decided_at) == (MatchState.OPEN, None)


def test_only_whoever_decided_takes_it_back(work: Work, reviewer: User, second_reviewer: User, cast: Cast) -> None:
    checked()
    decision = decide(Match.objects.get(), "confirmed", reviewer)
    with pytest.raises(ProductError, match="Only whoever decided"):
        decision_undo(decision=decision, reviewer=second_reviewer)
    assert browser(second_reviewer).post(reverse("reviews:undo", args=[decision.pk])).status_code == 404
    decision_undo(decision=decision, reviewer=cast.superuser)


def test_two_reviewers_do_not_decide_at_once(work: Work, reviewer: User, second_reviewer: User) -> None:
    checked()
    match = Match.objects.get()
    browser(reviewer).get(reverse("reviews:match", args=[match.pk]))
    page = browser(second_reviewer).get(reverse("reviews:match", args=[match.pk]))
    assert b"is looking at this match now" in page.content
    with pytest.raises(ProductError, match="is looking at this match"):
        decide(match, "confirmed", second_reviewer)
    Match.objects.update(opened_at=timezone.now() - timedelta(minutes=LOCK_MINUTES, seconds=1))
    match_open(match=match, reviewer=second_reviewer)
    decide(match, "confirmed", second_reviewer)
    with pytest.raises(ProductError, match="in the meantime"):
        match_decide(match=match, state="rejected", seen_state="open", reviewer=reviewer)


@pytest.mark.parametrize("state", ["", "open", "stolen"])
def test_other_words_are_no_decision(work: Work, reviewer: User, state: str) -> None:
    checked()
    match = Match.objects.get()
    answer = browser(reviewer).post(
        reverse("reviews:decide", args=[match.pk]), {"state": state, "seen_state": "open"}, follow=True
    )
    assert b"Choose confirm, reject or unsure." in answer.content
    match.refresh_from_db()
    assert match.state == MatchState.OPEN


@pytest.mark.parametrize(
    ("who", "status"),
    [("superuser", 200), ("reviewer", 403), ("owner", 403), ("outsider", 403), ("anonymous", 302)],
)
def test_who_reviews(cast: Cast, work: Work, who: str, status: int) -> None:
    """Staff without the group may not: the fixed cast's reviewer is not in it yet."""
    checked()
    match = Match.objects.get()
    client = cast.client(who)
    assert client.get(reverse("reviews:queue")).status_code == status
    assert client.get(reverse("reviews:match", args=[match.pk])).status_code == status
    expected = 302 if status == 200 else status
    decided = client.post(reverse("reviews:decide", args=[match.pk]), {"state": "unsure", "seen_state": "open"})
    assert decided.status_code == expected
    match.refresh_from_db()
    assert match.state == (MatchState.UNSURE if status == 200 else MatchState.OPEN)


def test_the_group_has_what_a_reviewer_needs() -> None:
    group = Group.objects.get(name="Reviewers")
    names = set(group.permissions.values_list("codename", flat=True))
    assert {"decide_match", "view_match", "view_check"} <= names
    assert not any(name.startswith(("add_", "change_", "delete_")) for name in names)


def test_the_queue_filters_and_says_when_it_is_empty(work: Work, reviewer: User) -> None:
    client = browser(reviewer)
    assert b"Nothing waits." in client.get(reverse("reviews:queue")).content
    checked()
    assert b"No match fits" in client.get(reverse("reviews:queue"), {"query": "tea"}).content
    assert b"Coffee" in client.get(reverse("reviews:queue"), {"query": "coff", "state": "all"}).content
    work.deleted_at = timezone.now()
    work.save()
    assert b"Nothing waits." in client.get(reverse("reviews:queue")).content


def test_an_expired_upload_is_not_shown(work: Work, reviewer: User) -> None:
    check = checked()
    type(check).objects.filter(pk=check.pk).update(file_deleted_at=timezone.now())
    page = browser(reviewer).get(reverse("reviews:match", args=[Match.objects.get().pk]))
    assert b"The upload has been deleted" in page.content
    assert reverse("checks:picture", args=[check.pk]).encode() not in page.content

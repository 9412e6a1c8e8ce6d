"""A check from its upload to its verdict, on real pictures: idempotent, fenced, cancellable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from provenance.hashing.hasher import HASHERS
from provenance.images.align import Alignment
from provenance.matching.policy import DESCRIPTOR_POLICY, POLICIES
from tests.webapp.checks.conftest import Register, Submit, edited, flat, png, sample
from tests.webapp.conftest import Cast
from webapp import files
from webapp.checks import candidates, examiners, run
from webapp.checks.context import Context, EvidenceDraft
from webapp.checks.models import Check, Evidence, EvidenceKind, Outcome, Verdict
from webapp.checks.renditions import SIDE, make_renditions
from webapp.checks.services import check_delete
from webapp.checks.storage import Rendition, has_renditions, preview_key, rendition_key
from webapp.files import Area
from webapp.jobs.models import Job, JobState
from webapp.jobs.runner import execute
from webapp.jobs.services import job_cancel
from webapp.registry.models import Visibility, Work

pytestmark = pytest.mark.django_db


def evidence(check: Check, kind: str) -> list[Evidence]:
    return list(check.evidence.filter(kind=kind).order_by("ordinal"))


def everything(check: Check) -> list[tuple[Any, ...]]:
    """Return all that a check says, without what differs between two rows of the same."""
    check.refresh_from_db()
    rows = check.evidence.order_by("kind", "ordinal").values_list(
        "kind", "ordinal", "outcome", "summary", "data", "work", "version"
    )
    return [(check.verdict, check.explanation, check.registry_size, check.algorithms), *rows]


def test_it_works(register: Register, check_now: Submit) -> None:
    """A screenshot of a registered picture is found, verified, and shown laid over it."""
    work = register("calla")
    register("bridge")
    check = check_now(edited("calla", "screenshot"))
    assert check.job.state == JobState.SUCCEEDED
    assert check.verdict == Verdict.REGISTERED
    assert "“calla” (registered by The Archive)" in check.explanation
    assert check.registry_size == 2
    expected = {
        "file": "sha256",
        "pixels": "sha256-pixels-v1",
        "fingerprint pdq": "pdq-v1",
        "fingerprint phash": "phash-v1",
        "verification": "verify-v2",
        "verdict": "verdict-v2",
    }
    assert expected.items() <= check.algorithms.items(), "later apps may add theirs"
    (pair,) = evidence(check, "pair")
    assert (pair.outcome, pair.work) == (Outcome.FOR, work)
    assert pair.data["verdict"] == "verified"
    assert pair.data["overlap_reference"] > 0.9
    assert not pair.data["mirrored"]
    assert has_renditions(check.pk, pair.ordinal)
    (exact,) = evidence(check, "exact")
    assert (exact.outcome, exact.data["match"]) == (Outcome.NEUTRAL, "none")
    assert set(check.job.timings) >= {"decode", "exact", "fingerprints", "candidates", "verification", "verdict"}


def test_the_figures_of_look_alikes_are_measured_and_the_theory_is_marked(
    register: Register, check_now: Submit
) -> None:
    register("calla")
    found = evidence(check_now(edited("calla", "screenshot")), "candidates")
    assert [item.version for item in found] == [*HASHERS, DESCRIPTOR_POLICY.algorithm]
    for item in found:
        data = item.data
        assert item.outcome == Outcome.NEUTRAL, "a candidate is never a match by itself"
        assert data["found"] == 1
        assert data["best_distance"] <= data["candidate_radius"]
        assert data["registry_size"] == 1
        for name, distance in (
            ("at_candidate_radius", data["candidate_radius"]),
            ("at_best_distance", data["best_distance"]),
        ):
            figures = data["expected_false"][name]
            assert figures["distance"] == distance
            assert 0 <= figures["measured"] < figures["upper_bound"] < (1e-3 if item.version in POLICIES else 2e-2)
            # Vectors have no bits of which a theory could speak.
            assert figures.get("binomial_is_theoretical", False) == (item.version in POLICIES)
            assert figures["measured_pairs"] > 1_000_000


def test_the_same_file_is_registered(register: Register, check_now: Submit) -> None:
    work = register("bridge")
    check = check_now(sample("bridge"))
    assert check.verdict == Verdict.REGISTERED
    (exact,) = evidence(check, "exact")
    assert (exact.outcome, exact.data["match"], exact.work) == (Outcome.FOR, "file", work)


def test_the_same_pixels_in_another_file_are_registered(register: Register, check_now: Submit) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    work = register("noise", data=png(pixels))
    rewrapped = png(pixels) + b"\0"
    check = check_now(rewrapped)
    (exact,) = evidence(check, "exact")
    assert (exact.data["match"], exact.work) == ("pixels", work)
    assert check.verdict == Verdict.REGISTERED


@pytest.mark.parametrize(("preset", "variant"), [("flip", "mirrored"), ("rotate90", "turned")])
def test_a_mirrored_or_turned_copy_is_found(
    register: Register, check_now: Submit, preset: str, variant: str
) -> None:
    register("astronaut")
    check = check_now(edited("astronaut", preset))
    assert check.verdict == Verdict.REGISTERED
    (pair,) = evidence(check, "pair")
    assert pair.data["mirrored"] == (preset == "flip")
    assert pair.data["changes"] == ["mirrored" if preset == "flip" else "rotated"]
    assert variant in pair.data["distances"]["pdq-v1"]["variant"]


def test_another_picture_is_not_found_here(register: Register, check_now: Submit) -> None:
    for name in ("bridge", "calla", "chelsea"):
        register(name)
    check = check_now(sample("rocket"))
    assert check.verdict == Verdict.NOT_FOUND
    assert "Nothing in this registry of 3 works" in check.explanation


def test_an_empty_registry_says_so(check_now: Submit) -> None:
    check = check_now(sample("rocket"))
    assert check.verdict == Verdict.NOT_FOUND
    assert "is empty" in check.explanation


def test_a_picture_too_simple_to_fingerprint_cannot_be_told(register: Register, check_now: Submit) -> None:
    register("bridge")
    check = check_now(flat())
    assert check.verdict == Verdict.CANNOT_TELL
    assert "too simple" in check.explanation
    (picture,) = evidence(check, "picture")
    assert picture.data["usable"] is False
    assert not evidence(check, "candidates")


def test_a_flat_picture_that_is_registered_is_found_by_its_bytes(register: Register, check_now: Submit) -> None:
    register("flat", data=flat())
    assert check_now(flat()).verdict == Verdict.REGISTERED


def test_a_deleted_work_is_not_found(register: Register, check_now: Submit) -> None:
    register("bridge")
    Work.objects.update(deleted_at=timezone.now())
    check = check_now(sample("bridge"))
    assert check.verdict == Verdict.NOT_FOUND
    assert check.registry_size == 0


def test_a_registered_file_that_cannot_be_read_leaves_the_question_open(
    register: Register, check_now: Submit
) -> None:
    work = register("calla")
    for area in (Area.WORKS, Area.DERIVED):
        for path in files.path_of(area, work.sha256).parent.glob("*"):
            path.unlink()
    check = check_now(edited("calla", "screenshot"))
    (pair,) = evidence(check, "pair")
    assert (pair.data["verdict"], pair.outcome) == ("unreadable", Outcome.NEUTRAL)
    assert check.verdict == Verdict.CANNOT_TELL


def test_near_look_alikes_past_the_most_that_are_verified_leave_the_question_open(
    cast: Cast, register: Register, check_now: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "MOST_VERIFIED", 0)
    monkeypatch.setattr("webapp.checks.pairs.MOST_VERIFIED", 0)
    register("calla")
    check = check_now(edited("calla", "social"))
    assert check.verdict == Verdict.CANNOT_TELL
    assert not evidence(check, "pair")


def test_a_damaged_file_fails_with_what_to_do(check_now: Submit) -> None:
    check = check_now(sample("calla")[:2000])
    assert (check.job.state, check.job.error_code) == (JobState.FAILED, "picture_unreadable")
    assert "Download or export it again" in check.job.error_message
    assert not check.verdict
    assert check.job.failures == 0, "a refusal is final and not tried again"


def test_a_picture_with_too_many_pixels_fails_before_it_is_opened(settings: Any, check_now: Submit) -> None:
    settings.UPLOAD_MAX_PIXELS = 10_000
    check = check_now(sample("calla"))
    assert check.job.error_code == "picture_unreadable"
    assert "Scale it down" in check.job.error_message


def test_a_picture_that_needs_more_memory_than_allowed_fails(settings: Any, check_now: Submit) -> None:
    settings.WORKER_MEMORY_BYTES = 1024
    bomb = png(np.zeros((9000, 8000, 3), dtype=np.uint8))
    check = check_now(bomb)
    assert check.job.error_code == "picture_unreadable"
    assert "memory" in check.job.error_message


def test_no_renditions_of_a_work_whose_record_only_is_shown(register: Register, check_now: Submit) -> None:
    register("calla", visibility=Visibility.RECORD_ONLY)
    check = check_now(edited("calla", "screenshot"))
    assert check.verdict == Verdict.REGISTERED
    assert not any(
        files.path_of(Area.DERIVED, rendition_key(check.pk, 0, rendition)).exists() for rendition in Rendition
    )


def test_renditions_have_one_size_and_agree(register: Register, check_now: Submit) -> None:
    register("astronaut")
    check = check_now(edited("astronaut", "crop10"))
    made = {
        rendition: examiners.decode(files.read(Area.DERIVED, rendition_key(check.pk, 0, rendition))).pixels
        for rendition in Rendition
    }
    reference, query, gap = (made[one].astype(int) for one in Rendition)
    assert reference.shape == query.shape == gap.shape
    inside = (query > 8).any(axis=2)
    assert 0.6 < inside.mean() < 0.95, "the crop covers a part of the registered picture"
    assert np.abs(reference - query)[inside].mean() < 12, "and lies where it belongs"


def test_the_renditions_of_a_large_work_are_reduced_and_still_agree() -> None:
    pixels = examiners.decode(sample("astronaut")).pixels
    reference = np.ascontiguousarray(pixels.repeat(4, axis=0).repeat(4, axis=1))
    query = np.ascontiguousarray(reference[300:1500, 200:1800])
    shift = np.array([[1.0, 0, 200], [0, 1, 300], [0, 0, 1]])
    alignment = Alignment(shift, False, 99, 99, 1.0, 1.0, 0.5, 1.0, np.zeros((4, 2)))
    made = {name: examiners.decode(data).pixels for name, data in make_renditions(query, reference, alignment).items()}
    small, warped = (made[name].astype(int) for name in (Rendition.REFERENCE, Rendition.QUERY))
    assert small.shape == warped.shape == (SIDE, SIDE, 3)
    scale = SIDE / 2048
    rows, columns = slice(round(310 * scale), round(1490 * scale)), slice(round(210 * scale), round(1790 * scale))
    assert np.abs(small - warped)[rows, columns].mean() < 6
    assert warped[: round(290 * scale)].max() < 12, "nothing is drawn where the query is not"


def test_running_twice_says_everything_once(register: Register, submit: Submit) -> None:
    """A worker that died after its last evidence, before the verdict, is followed by another."""
    register("calla")
    register("bridge")
    once = submit(edited("calla", "screenshot"))
    execute(str(once.job_id))
    first = everything(once)

    # The verdict was never committed; the job is queued again, as recovery does.
    Check.objects.filter(pk=once.pk).update(verdict="", explanation="")
    stale = Evidence.objects.create(
        check_row=once, kind=EvidenceKind.PAIR, ordinal=9, outcome=Outcome.FOR, summary="of an earlier run",
        data={}, version="verify-v0",
    )
    once.evidence.filter(kind="pair", ordinal=0).update(summary="half-written", outcome=Outcome.AGAINST)
    Job.objects.filter(pk=once.job_id).update(state=JobState.QUEUED, finished_at=None)
    execute(str(once.job_id))
    assert everything(once) == first
    assert not Evidence.objects.filter(pk=stale.pk).exists()


def test_a_verdict_given_stays(register: Register, submit: Submit) -> None:
    """A worker that died between the verdict and the end of the job: somebody may have read it already."""
    register("calla")
    check = submit(edited("calla", "screenshot"))
    execute(str(check.job_id))
    first = everything(check)
    Work.objects.all().delete()
    Job.objects.filter(pk=check.job_id).update(state=JobState.QUEUED, finished_at=None)
    execute(str(check.job_id))
    check.refresh_from_db()
    assert (check.verdict, check.explanation) == first[0][:2]
    assert Job.objects.get(pk=check.job_id).state == JobState.SUCCEEDED


class _Meddler:
    """An examiner during whose work something happens."""

    key = "meddling"
    label = "Meddling"

    def __init__(self, meddle: Any) -> None:
        self._meddle = meddle

    def examine(self, context: Context) -> list[EvidenceDraft]:
        self._meddle(context)
        return [EvidenceDraft(EvidenceKind.REVIEW, Outcome.FOR, "meddled", {"work": {"id": str(context.job.pk)}}, "v1")]


def test_cancelled_between_steps_it_stops_without_a_verdict(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def cancel(context: Context) -> None:
        seen.append(context)
        job_cancel(job=context.job)

    meddlers = [_Meddler(cancel), _Meddler(seen.append)]
    monkeypatch.setattr(run, "EXAMINERS", [*examiners.EXAMINERS[:2], *meddlers])
    check = submit(sample("calla"))
    execute(str(check.job_id))
    check.refresh_from_db()
    assert Job.objects.get(pk=check.job_id).state == JobState.CANCELLED
    assert not check.verdict
    assert len(seen) == 1, "the step after the cancellation was not begun"


def test_a_process_that_lost_its_claim_writes_nothing_more(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_over(context: Context) -> None:
        Job.objects.filter(pk=context.job.pk).update(claim=7)

    monkeypatch.setattr(run, "EXAMINERS", [*examiners.EXAMINERS[:2], _Meddler(take_over)])
    check = submit(sample("calla"))
    execute(str(check.job_id))
    check.refresh_from_db()
    assert not check.verdict
    assert not evidence(check, "review")
    assert Job.objects.get(pk=check.job_id).state == JobState.RUNNING, "the other's claim is left alone"


def test_nothing_is_made_from_an_upload_deleted_in_the_meantime(
    submit: Submit, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    register("calla")

    def delete(context: Context) -> None:
        check_delete(check=context.check)
        # As if the cancellation that goes with it had not been seen yet.
        Job.objects.filter(pk=context.job.pk).update(cancel_requested=False)

    monkeypatch.setattr(run, "EXAMINERS", [*examiners.EXAMINERS[:4], _Meddler(delete), examiners.EXAMINERS[4]])
    check = submit(edited("calla", "screenshot"))
    execute(str(check.job_id))
    job = Job.objects.get(pk=check.job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "gone")
    assert not files.path_of(Area.DERIVED, preview_key(check.pk)).exists()
    assert not has_renditions(check.pk, 0)


def test_a_file_that_is_gone_before_the_check_fails_with_what_to_do(submit: Submit) -> None:
    check = submit(sample("calla"))
    files.delete(Area.CHECKS, check.file_key)
    execute(str(check.job_id))
    job = Job.objects.get(pk=check.job_id)
    assert (job.state, job.error_code) == (JobState.FAILED, "gone")
    assert "Send it again" in job.error_message


def test_a_later_app_speaks_in_the_verdict(submit: Submit, register: Register, monkeypatch: Any) -> None:
    """Reviewers' memory, for one: an examiner appended to the list overrides the pair."""
    register("calla")

    class Remembers:
        key, label = "reviews", "Asking the reviewers' memory"

        def examine(self, context: Context) -> list[EvidenceDraft]:
            (pair,) = context.pairs
            return [
                EvidenceDraft(
                    kind=EvidenceKind.REVIEW,
                    outcome=Outcome.AGAINST,
                    summary="Reviewers rejected this pair.",
                    data={"work": examiners.work_figures(pair.work)},
                    version="memory-v1",
                    work=pair.work,
                )
            ]

    monkeypatch.setattr(run, "EXAMINERS", [*examiners.EXAMINERS, Remembers()])
    check = submit(edited("calla", "screenshot"))
    execute(str(check.job_id))
    check.refresh_from_db()
    assert check.verdict == Verdict.NOT_FOUND

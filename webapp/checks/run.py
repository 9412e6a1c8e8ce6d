"""Doing a check: every examiner in turn, then the verdict."""

from __future__ import annotations

import uuid

from django.db.models import Q

from webapp import files
from webapp.checks import verdict
from webapp.checks.context import Context, EvidenceDraft, upload_gone
from webapp.checks.examiners import EXAMINERS
from webapp.checks.models import Check, Evidence
from webapp.files import Area
from webapp.jobs.models import Job
from webapp.jobs.services import Progress
from webapp.registry.selectors import registry_size


def check_run(*, check_id: uuid.UUID | str, job: Job, progress: Progress) -> bool:
    """Do a check to its end. A run after one that was killed says everything once; a verdict given stays.

    Raises:
        ProductError: the check cannot be done.
        JobCancelled: its owner asked for it to stop.
        ClaimLost: another process does it now.
    """
    progress("received")
    check = Check.objects.get(pk=check_id)
    if check.verdict:
        return True
    step = "received"

    def report(done: int, total: int, note: str) -> None:
        progress(step, done, total, note)

    try:
        data = files.read(Area.CHECKS, check.file_key)
    except FileNotFoundError:
        raise upload_gone() from None
    context = Context(check=check, job=job, data=data, report=report, registry_size=registry_size())
    for examiner in EXAMINERS:
        step = examiner.key
        progress(step)
        _write(context, examiner.examine(context))
    progress("verdict")
    _conclude(context)
    return True


def _write(context: Context, drafts: list[EvidenceDraft]) -> None:
    """Keep an examiner's evidence, in place of what an earlier run said under the same kind and ordinal."""
    context.evidence.extend(drafts)
    if not drafts:
        return
    with context.fenced() as check:
        Evidence.objects.bulk_create(
            [
                Evidence(
                    check_row=check,
                    kind=draft.kind,
                    ordinal=draft.ordinal,
                    outcome=draft.outcome,
                    summary=draft.summary[:400],
                    data=draft.data,
                    work=draft.work,
                    version=draft.version[:60],
                )
                for draft in drafts
            ],
            update_conflicts=True,
            unique_fields=("check_row", "kind", "ordinal"),
            update_fields=("outcome", "summary", "data", "work", "version"),
        )


def _conclude(context: Context) -> None:
    """Write the verdict, and remove what an earlier run found that is not there any more."""
    context.algorithms["verdict"] = verdict.VERSION
    fused = verdict.fuse(context.evidence, registry_size=context.registry_size)
    with context.fenced() as check:
        kept = Q(pk__in=())
        for draft in context.evidence:
            kept |= Q(kind=draft.kind, ordinal=draft.ordinal)
        check.evidence.exclude(kept).delete()
        check.verdict, check.explanation = fused.verdict, fused.explanation
        check.registry_size = context.registry_size
        check.algorithms = context.algorithms
        check.save(update_fields=("verdict", "explanation", "registry_size", "algorithms"))

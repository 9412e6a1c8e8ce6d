"""Questions that clients encrypt and sign themselves: the site takes them to the keyholders, and learns no answer."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.private_lookup import frames
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.identity import PublicIdentity, write_whole
from provenance.private_lookup.question import Question, most_question_bytes, read_question
from provenance.private_lookup.registry import read_manifest
from webapp.accounts.models import ApiKey
from webapp.errors import ErrorCode, ProductError
from webapp.jobs.services import Progress, job_create
from webapp.private.alarms import alarm_if_due
from webapp.private.asking import NotAnswered, relay_question
from webapp.private.budget import questions_reserve
from webapp.private.examiners import credential_of
from webapp.private.feature import require_feature
from webapp.private.models import PrivateCatalogue, PrivateQuestion, QuestionState
from webapp.private.storage import question_file

RELAY = "private_relay"


def question_send(*, private: PrivateCatalogue, data: bytes, api_key: ApiKey) -> PrivateQuestion:
    """Take a signed question, and have a worker relay it.

    Raises:
        ProductError: the feature is off (503); it is too large (413), altered, cut off, of other keys or an unknown
            client (400); asked before, about an earlier content, or for what is not answered (409); or too many (429).
    """
    require_feature()
    if len(data) > most_question_bytes(private.agreement.scheme):
        raise ProductError(ErrorCode.FILE_TOO_LARGE, _("This is no question: it is too large."), status=413)
    question = _read(private, data)
    if PrivateQuestion.objects.filter(signed_id=question.id).exists():
        raise _asked_before()
    try:
        with transaction.atomic():
            (row,) = questions_reserve(
                private=private, credential=credential_of(owner=None, api_key=api_key), policies=[question.policy]
            )
            row.signed_id = question.id
            write_whole(question_file(private, row.pk, "question"), data)
            row.job = job_create(
                kind=RELAY,
                steps=[("ask", gettext_lazy("Asking the private catalogue"))],
                payload={"question": str(row.pk)},
                organisation=api_key.organisation,
            )
            row.save(update_fields=("signed_id", "job"))
    except IntegrityError:
        # The same came twice at once.
        raise _asked_before() from None
    return row


def relay_run(*, question_id: str, progress: Progress) -> bool:
    """Relay a question to its end.

    Raises:
        ProductError: it was not answered, with the reason.
        JobCancelled, ClaimLost: as :class:`webapp.jobs.services.Progress` does.
    """
    question = PrivateQuestion.objects.select_related("private__catalogue__organisation").get(pk=question_id)
    private = question.private
    answer = question_file(private, question.pk, "answer")
    if question.state == QuestionState.ANSWERED and answer.exists():
        return True
    try:
        data = question_file(private, question.pk, "question").read_bytes()
    except FileNotFoundError:
        raise ProductError(ErrorCode.GONE, _("The question is not here any more. Ask anew."), status=410) from None
    try:
        answers = relay_question(
            question, data, _clients(private), lambda words: progress("ask", question.attempts, 2, words)
        )
    except NotAnswered as problem:
        raise ProductError(ErrorCode.PRIVATE_UNAVAILABLE, str(problem), status=503) from problem
    write_whole(answer, frames.pack({"question": question.signed_id}, answers))
    alarm_if_due(question)
    return True


def answer_read(question: PrivateQuestion) -> bytes:
    """Return a relayed question's sealed answers: a frame with one message of each keyholder.

    Raises:
        ProductError: there is none yet (409), or none any more (410).
    """
    try:
        return question_file(question.private, question.pk, "answer").read_bytes()
    except FileNotFoundError:
        pass
    if question.job is not None and not question.job.is_final:
        raise ProductError(
            ErrorCode.CONFLICT, _("This question is not answered yet."), status=409, retry_after=2
        )
    raise ProductError(ErrorCode.GONE, _("There is no answer to this question, or no longer. Ask anew."), status=410)


def questions_of(api_key: ApiKey) -> QuerySet[PrivateQuestion]:
    """Return the questions that the key's organisation had relayed."""
    rows = PrivateQuestion.objects.select_related("job", "private__catalogue__organisation").exclude(job=None)
    return rows.filter(credential=credential_of(owner=None, api_key=api_key))


def _read(private: PrivateCatalogue, data: bytes) -> Question:
    if not private.is_askable or private.manifest is None:
        raise ProductError(ErrorCode.CONFLICT, _("There is nothing in this private catalogue yet."), status=409)
    try:
        question = read_question(data, private.agreement, _clients(private))
        private.agreement.circuit(question.policy)
    except BadInput as problem:
        raise ProductError(ErrorCode.INVALID, str(problem)) from problem
    except Refused as problem:
        raise ProductError(ErrorCode.CONFLICT, str(problem), status=409) from problem
    if question.manifest != read_manifest(bytes(private.manifest), private.agreement).id:
        raise ProductError(
            ErrorCode.CONFLICT, _("The question is about an earlier content. Fetch the kit anew."), status=409
        )
    return question


def _clients(private: PrivateCatalogue) -> Mapping[str, PublicIdentity]:
    rows = private.clients.filter(removed_at=None)
    return {client.name: PublicIdentity.from_dict(client.identity) for client in rows}


def _asked_before() -> ProductError:
    return ProductError(ErrorCode.CONFLICT, _("This question was asked before. Sign it anew."), status=409)

"""The step of a check that asks private catalogues: those that whoever sent the picture ticked, and no others."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from provenance.hashing.code import Fingerprint
from provenance.hashing.hasher import HASHERS
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.registry import read_manifest
from webapp.accounts.models import ApiKey, User
from webapp.checks.context import Context, EvidenceDraft
from webapp.checks.models import Check, EvidenceKind, Outcome
from webapp.checks.selectors import Viewer
from webapp.errors import ErrorCode, ProductError
from webapp.private.alarms import alarm_if_due
from webapp.private.asking import Asker, NotAnswered, fail
from webapp.private.budget import questions_left, questions_reserve
from webapp.private.feature import feature, require_feature
from webapp.private.models import PrivateCatalogue, PrivateQuestion, QuestionState
from webapp.private.risk import risk
from webapp.private.selectors import askable, cost_of

log = logging.getLogger(__name__)

CATALOGUES, WHICH = "private_catalogues", "private_which"
# Of one check: each takes seconds to minutes.
MOST_ASKED = 3


class AskPrivateCatalogues:
    """Offers private catalogues to whoever sends a picture, and asks those that were chosen."""

    key = "private"
    label = gettext_lazy("Asking private catalogues")

    def fields(self, user: Viewer) -> dict[str, forms.Field]:
        """See :class:`webapp.checks.extras.Extra`. Only people with an account ask: answers are counted."""
        if not user.is_authenticated or not feature().on:
            return {}
        found = list(askable())
        if not found:
            return {}
        made: dict[str, forms.Field] = {
            CATALOGUES: forms.MultipleChoiceField(
                label=_("Ask private catalogues too"),
                required=False,
                choices=[
                    (str(one.catalogue_id), _words(one, credential_of(owner=user, api_key=None))) for one in found
                ],
                widget=forms.CheckboxSelectMultiple,
                help_text=_(
                    "Your picture's hash is encrypted before it is compared, and so are theirs. You, and whoever has "
                    "the link of your check, learn whether anything matches. This site learns the same, since it asks "
                    "for you. The holder sees that somebody asked, and not what; keyholders learn that this site "
                    "asked, and no more. Nothing verifies such an answer. Yours are counted: %(n)d a day."
                )
                % {"n": settings.PRIVATE_QUESTIONS_PER_DAY},
            )
        }
        if any(private.who_allowed for private in found):
            made[WHICH] = forms.BooleanField(
                label=_("After a match ask which entry it is, where the holder allows that; it counts as one more"),
                required=False,
            )
        return made

    def take(self, *, check: Check, wanted: Mapping[str, Any], owner: User | None, api_key: ApiKey | None) -> None:
        """Count the questions, and keep them for the worker.

        Raises:
            ProductError: they cannot be asked, or are too many in a day.
        """
        ids = list(dict.fromkeys(uuid.UUID(str(one)) for one in wanted.get(CATALOGUES) or ()))
        if not ids:
            return
        require_feature()
        if len(ids) > MOST_ASKED:
            raise ProductError(
                ErrorCode.INVALID, _("One check asks %(n)d private catalogues at most.") % {"n": MOST_ASKED}
            )
        credential = credential_of(owner=owner, api_key=api_key)
        found = {private.catalogue_id: private for private in askable().filter(catalogue__in=ids)}
        for catalogue_id in ids:
            if catalogue_id not in found:
                raise ProductError(
                    ErrorCode.INVALID,
                    _("There is no such private catalogue, or it does not answer now."),
                    fields={CATALOGUES: [str(catalogue_id)]},
                )
        # In one order, so that two checks never wait for each other.
        for private in sorted(found.values(), key=lambda one: one.pk):
            policies = [Policy.BIT, *([Policy.WHO] if wanted.get(WHICH) and private.who_allowed else [])]
            questions_reserve(private=private, credential=credential, policies=policies, check=check)

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`."""
        rows = PrivateQuestion.objects.filter(check_row=context.check)
        rows = rows.select_related("private__catalogue__organisation")
        by_catalogue: dict[int, dict[str, PrivateQuestion]] = {}
        for row in rows.order_by("private__created_at"):
            by_catalogue.setdefault(row.private_id, {})[row.policy] = row
        drafts = []
        for number, questions in enumerate(by_catalogue.values()):
            drafts.append(_ask(context, number, len(by_catalogue), questions))
        return drafts


def credential_of(*, owner: User | None, api_key: ApiKey | None) -> str:
    """Return against whose limit a question counts: a person's, or a key's organisation's.

    Raises:
        ProductError: nobody is known (401).
    """
    if api_key is not None:
        return f"organisation:{api_key.organisation_id}"
    if owner is None:
        raise ProductError(
            ErrorCode.NOT_AUTHENTICATED, _("Log in to ask private catalogues: answers are counted."), status=401
        )
    return f"user:{owner.pk}"


def _ask(context: Context, number: int, total: int, questions: Mapping[str, PrivateQuestion]) -> EvidenceDraft:
    bit = questions[Policy.BIT]
    private = bit.private
    context.algorithms[f"private catalogue {number + 1}"] = private.agreement.scheme_id
    if bit.state != QuestionState.ANSWERED or _which_is_owed(questions):
        fingerprint = _fingerprint(context, private.algorithm)
        if not fingerprint.usable:
            fail(bit, _("This picture is too simple to be asked about."))
        elif bit.state != QuestionState.FAILED:
            _put(context, number, total, questions, fingerprint)
    _forget_unused(questions)
    return _draft(number, questions)


def _put(
    context: Context, number: int, total: int, questions: Mapping[str, PrivateQuestion], fingerprint: Fingerprint
) -> None:
    """Ask; a question that fails says why in its row."""
    bit, which = questions[Policy.BIT], questions.get(Policy.WHO)
    name = bit.private.catalogue.name
    try:
        with Asker(bit, fingerprint.code, lambda words: context.report(number, total, f"{name}: {words}")) as asker:
            if bit.state != QuestionState.ANSWERED:
                asker.ask(bit)
                alarm_if_due(bit)
            if which is not None and _which_is_owed(questions):
                asker.ask(which)
    except NotAnswered as problem:
        log.info("a private catalogue did not answer: %s", problem)


def _which_is_owed(questions: Mapping[str, PrivateQuestion]) -> bool:
    """Tell whether something matched and it was not said yet which; a worker that is killed leaves that to the next."""
    bit, which = questions[Policy.BIT], questions.get(Policy.WHO)
    open_states = QuestionState.WAITING, QuestionState.ASKED
    return bool(bit.matches) and which is not None and which.state in open_states


def _forget_unused(questions: Mapping[str, PrivateQuestion]) -> None:
    """Give back what was counted for a second question that was not needed."""
    bit, which = questions[Policy.BIT], questions.get(Policy.WHO)
    if which is not None and which.state == QuestionState.WAITING:
        if bit.state == QuestionState.ANSWERED and not bit.matches:
            fail(which, _("Nothing matched, so there was nothing more to ask."))
        else:
            fail(which, _("The question before it was not answered."))


def _fingerprint(context: Context, algorithm: str) -> Fingerprint:
    for found in context.fingerprints:
        if found.code.algorithm == algorithm:
            return found
    (made,) = HASHERS[algorithm].hash([context.picture.pixels])
    return made


def _draft(number: int, questions: Mapping[str, PrivateQuestion]) -> EvidenceDraft:
    bit, which = questions[Policy.BIT], questions.get(Policy.WHO)
    private = bit.private
    agreement = private.agreement
    chance = risk(private.algorithm, private.tau, bit.entries)
    places = which.places if which is not None else []
    manifest = read_manifest(bytes(private.manifest), agreement) if places and private.manifest is not None else None
    asked = [question for question in (bit, which) if question is not None and question.attempts]
    data = {
        "catalogue": str(private.catalogue_id),
        "name": private.catalogue.name,
        "holder": private.catalogue.organisation.name,
        "state": bit.state,
        "matches": bit.matches,
        "reason": bit.reason,
        "places": places,
        "numbers": [manifest.number(block, place) for block, place in places] if manifest else [],
        "policies": [question.policy for question in asked],
        "algorithm": private.algorithm,
        "bits": agreement.scheme.code_length,
        "tau": private.tau,
        "entries": bit.entries,
        "expected_false": {"measured": _short(chance.measured), "upper_bound": _short(chance.bound)},
        "measured_pairs": chance.pairs,
        "seconds": round(sum(question.seconds for question in asked), 2),
        "sent_bytes": sum(question.sent_bytes for question in asked),
        "answer_bytes": sum(question.answer_bytes for question in asked),
        "keyholders": [party.name for party in agreement.parties],
        "verified": False,
    }
    return EvidenceDraft(
        kind=EvidenceKind.PRIVATE,
        outcome=Outcome.LEANS if bit.matches else Outcome.NEUTRAL,
        summary=_summary(data),
        data=data,
        version=f"{agreement.scheme_id}/{private.algorithm}",
        ordinal=number,
    )


def _summary(data: Mapping[str, Any]) -> str:
    name = {"name": data["name"], "holder": data["holder"]}
    if data["state"] != QuestionState.ANSWERED:
        sentence = _("The private catalogue “%(name)s” of %(holder)s did not answer: %(why)s")
        return sentence % {**name, "why": data["reason"]}
    if not data["matches"]:
        return _("The private catalogue “%(name)s” of %(holder)s reports no match.") % name
    if data["places"]:
        found = ngettext("one entry of it", "%(n)d entries of it", len(data["places"])) % {"n": len(data["places"])}
        sentence = _("A private catalogue reports a match: %(found)s. It is “%(name)s” of %(holder)s. ")
        return sentence % {**name, "found": found} + _("Nothing verified it.")
    return _("A private catalogue reports a match. It is “%(name)s” of %(holder)s. Nothing verified it.") % name


def _words(private: PrivateCatalogue, credential: str) -> str:
    cost = cost_of(private)
    took = (
        _("about %(n).0f seconds") % {"n": max(1.0, cost.seconds)}
        if cost.seconds is not None
        else _("how long it takes is not known yet")
    )
    entries = ngettext("%(n)d entry", "%(n)d entries", private.entries) % {"n": private.entries}
    left = questions_left(private, credential)
    asks = ngettext("%(n)d question left today", "%(n)d questions left today", left) % {"n": left}
    return _("“%(name)s” of %(holder)s: %(entries)s, %(took)s, %(asks)s") % {
        "asks": asks,
        "name": private.catalogue.name,
        "holder": private.catalogue.organisation.name,
        "entries": entries,
        "took": took,
    }


def _short(value: float) -> float:
    return float(f"{value:.3g}")

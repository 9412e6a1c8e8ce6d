"""The step of a check that remembers what people decided on the same pair, and hands new pairs to them."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.matching.verify import PairKind
from webapp.checks.context import Context, EvidenceDraft
from webapp.checks.figures import work_figures
from webapp.checks.models import EvidenceKind, Outcome
from webapp.reviews.models import Match, MatchState
from webapp.reviews.services import match_record

VERSION = "review-v1"
_OUTCOMES = {
    MatchState.CONFIRMED: Outcome.FOR,
    MatchState.REJECTED: Outcome.AGAINST,
    MatchState.UNSURE: Outcome.NEUTRAL,
}


class RememberReviews:
    """Puts each verified or partial pair into the review queue once, and tells what was decided on it before.

    Exact copies are not put there: equal bytes leave nothing to decide.
    """

    key = "reviews"
    label = gettext_lazy("Asking what reviewers decided")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`."""
        context.algorithms["reviews"] = VERSION
        drafts = []
        with context.fenced() as check:
            for pair in context.pairs:
                if pair.verdict is None or pair.verdict.kind not in (PairKind.VERIFIED, PairKind.PARTIAL):
                    continue
                if check.pixel_sha256 == pair.work.pixel_sha256:
                    continue
                match = match_record(check=check, work=pair.work)
                if match.state in _OUTCOMES:
                    drafts.append(_draft(match, pair.ordinal))
        return drafts


def _draft(match: Match, ordinal: int) -> EvidenceDraft:
    state = MatchState(match.state)
    sentences = {
        MatchState.CONFIRMED: _("A reviewer has confirmed this pair: the picture shows “%(title)s”."),
        MatchState.REJECTED: _("A reviewer has rejected this pair: the picture does not show “%(title)s”."),
        MatchState.UNSURE: _("A reviewer has looked at this pair and could not tell whether it shows “%(title)s”."),
    }
    decided_at = match.decided_at.isoformat(timespec="seconds") if match.decided_at else None
    return EvidenceDraft(
        kind=EvidenceKind.REVIEW,
        outcome=_OUTCOMES[state],
        summary=(sentences[state] % {"title": match.work.title})[:400],
        data={"work": work_figures(match.work), "decision": str(state), "decided_at": decided_at},
        version=VERSION,
        work=match.work,
        ordinal=ordinal,
    )

"""The step of a check that asks the deep hashes that catalogues chose. It costs nothing where none did."""

from __future__ import annotations

import logging
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from provenance.hashing.deephash import too_plain
from provenance.hashing.dihedral import TRANSFORMS
from provenance.models.errors import ModelError
from webapp.checks.candidates import near_unverified, rank
from webapp.checks.context import Context, EvidenceDraft, Near
from webapp.checks.models import Check, EvidenceKind, Outcome
from webapp.deephash.hashes import MOST_ASKED, Chosen, chosen_hash
from webapp.deephash.models import CatalogueHash, DeepCode
from webapp.deephash.search import FoundWork, works_nearest

log = logging.getLogger(__name__)

MOST_FOUND = 20
# Evidence of the other look-alikes has the ordinals before.
_FIRST_ORDINAL = 100


class SearchDeepHashes:
    """Adds the works that lie within the candidate radius of a deep hash to those that verification looks at."""

    key = "deephash"
    label = gettext_lazy("Asking the catalogues' own hashes")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`."""
        choices = [] if too_plain(context.picture.pixels) else _asked(context.check)
        near = {suspect.work_id: dict(suspect.near) for suspect in context.suspects}
        asked: list[tuple[Chosen, list[FoundWork]]] = []
        for number, choice in enumerate(choices):
            context.report(number, len(choices), choice.algorithm)
            try:
                chosen = chosen_hash(choice)
                codes, features = chosen.hasher.encode([context.picture.pixels])
            except (ModelError, KeyError, OSError, ValueError):
                log.exception("a catalogue's deep hash could not be used: %s", choice.algorithm)
                continue
            found = works_nearest(
                algorithm=choice.algorithm,
                code=codes[0],
                feature=features[0],
                limit=MOST_FOUND,
                radius=chosen.policy.candidate_radius,
            )
            for each in found:
                near.setdefault(each.work_id, {})[choice.algorithm] = Near(each.distance, 0)
            context.algorithms[f"deep hash {choice.algorithm}"] = choice.algorithm
            asked.append((chosen, found))
        if not asked:
            return []
        context.suspects = rank(near, {chosen.policy.algorithm: chosen.policy for chosen, _found in asked})
        unverified = near_unverified(context.suspects)
        return [
            EvidenceDraft(
                kind=EvidenceKind.CANDIDATES,
                outcome=Outcome.NEUTRAL,
                summary=_summary(chosen, found),
                data={**_figures(chosen, found), "near_unverified": unverified},
                version=chosen.policy.algorithm,
                ordinal=_FIRST_ORDINAL + number,
            )
            for number, (chosen, found) in enumerate(asked)
        ]


def _asked(check: Check) -> list[CatalogueHash]:
    """Return a choice of each hash that this check asks, :data:`MOST_ASKED` at most: first those of the sender's own
    organisations, then the shipped ones, then those that were chosen first."""
    own = {check.organisation_id}
    if check.owner is not None:
        own.update(check.owner.memberships.values_list("organisation", flat=True))
    found = CatalogueHash.objects.filter(catalogue__deleted_at=None)
    rows = found.values_list("catalogue__organisation", "trained_model", "pk", "algorithm")
    first: dict[str, int] = {}
    for *_order, pk, algorithm in sorted(rows, key=lambda row: (row[0] not in own, row[1] is not None, row[2])):
        first.setdefault(algorithm, pk)
    keys = list(first.values())[:MOST_ASKED]
    choices = CatalogueHash.objects.select_related("trained_model").in_bulk(keys)
    return [choices[key] for key in keys if key in choices]


def _figures(chosen: Chosen, found: list[FoundWork]) -> dict[str, Any]:
    policy = chosen.policy
    size = DeepCode.objects.filter(algorithm=policy.algorithm, work__deleted_at=None).count()
    return {
        "algorithm": policy.algorithm,
        "bits": policy.length,
        "candidate_radius": policy.candidate_radius,
        "near_radius": policy.near_radius,
        "near_radius_source": policy.source,
        "found": len(found),
        "found_is_all": len(found) < MOST_FOUND,
        "near": sum(1 for each in found if each.distance <= policy.near_radius),
        "best_distance": found[0].distance if found else None,
        "registry_size": size,
        "expected_false": {
            "at_candidate_radius": _expected(chosen, size, policy.candidate_radius),
            **({"at_best_distance": _expected(chosen, size, found[0].distance)} if found else {}),
        },
        "listed": [
            {"work": str(each.work_id), "distance": each.distance, "variant": TRANSFORMS[0]} for each in found
        ],
    }


def _expected(chosen: Chosen, size: int, tau: int) -> dict[str, Any]:
    expected = chosen.policy.expected_false_candidates(size, tau)
    return {
        "distance": tau,
        "measured": float(f"{expected.measured:.3g}"),
        "upper_bound": float(f"{expected.upper_bound:.3g}"),
        "binomial": float(f"{expected.binomial or 0:.3g}"),
        "binomial_is_theoretical": True,
        "measured_pairs": chosen.policy.false_match_rate(tau).pairs,
    }


def _summary(chosen: Chosen, found: list[FoundWork]) -> str:
    policy = chosen.policy
    name = {"algorithm": policy.algorithm, "radius": policy.candidate_radius, "bits": policy.length}
    if not found:
        return _("%(algorithm)s: no picture of its catalogues differs in %(radius)d of %(bits)d bits or fewer.") % name
    return ngettext(
        "%(algorithm)s: %(n)d picture of its catalogues differs in %(radius)d of %(bits)d bits or fewer, the nearest "
        "in %(best)d. A look-alike is not a match; verification decides.",
        "%(algorithm)s: %(n)d pictures of its catalogues differ in %(radius)d of %(bits)d bits or fewer, the nearest "
        "in %(best)d. A look-alike is not a match; verification decides.",
        len(found),
    ) % {**name, "n": len(found), "best": found[0].distance}

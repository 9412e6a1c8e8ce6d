"""The step that asks the registry which works look alike, and says what to expect by chance."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from provenance.hashing.descriptor import DESCRIPTOR, QUERY_VIEWS
from provenance.hashing.dihedral import TRANSFORMS
from provenance.matching.index import Candidate
from provenance.matching.policy import (
    DESCRIPTOR_POLICY,
    MOST_VERIFIED,
    POLICIES,
    ExpectedFalseCandidates,
    FalseMatchRate,
    Policy,
)
from webapp.checks.context import Context, EvidenceDraft, Near, Suspect
from webapp.checks.models import EvidenceKind, Outcome
from webapp.registry.descriptors import works_like
from webapp.registry.search import registry_index

# Past this many look-alikes, of which a plain picture may have thousands, nobody is helped by one more.
MOST_FOUND = 1000
# The descriptor puts copies first: past these there is hardly one.
MOST_LIKE = 50
_MOST_LISTED = 20
_POLICIES = {**POLICIES, DESCRIPTOR_POLICY.algorithm: DESCRIPTOR_POLICY}


class SearchCandidates:
    """Finds every live work within the candidate radius of each algorithm. A candidate is not a match."""

    key = "candidates"
    label = gettext_lazy("Searching for look-alikes")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`."""
        near: dict[uuid.UUID, dict[str, Near]] = defaultdict(dict)
        found: dict[str, list[Candidate]] = {}
        all_found: dict[str, bool] = {}
        for done, (algorithm, codes) in enumerate(context.codes.items()):
            context.report(done, len(context.codes), algorithm)
            index = registry_index(algorithm, codes[0].length)
            found[algorithm] = index.search(codes, POLICIES[algorithm].candidate_radius, MOST_FOUND)
            all_found[algorithm] = len(found[algorithm]) < MOST_FOUND
            for candidate in found[algorithm]:
                near[candidate.id][algorithm] = Near(candidate.distance, candidate.variant)
        if context.descriptors is not None:
            like, complete = works_like(context.descriptors, DESCRIPTOR_POLICY.candidate_radius, MOST_LIKE)
            found[DESCRIPTOR.algorithm], all_found[DESCRIPTOR.algorithm] = like, complete
            for candidate in like:
                near[candidate.id][DESCRIPTOR.algorithm] = Near(candidate.distance, candidate.variant)
        context.suspects = rank(near)
        unverified = near_unverified(context.suspects)
        drafts = []
        # An algorithm's place in POLICIES is its ordinal, whichever of them could be used.
        for ordinal, (algorithm, policy) in enumerate(_POLICIES.items()):
            if algorithm in found:
                data = _figures(policy, found[algorithm], all_found[algorithm], context.registry_size)
                drafts.append(
                    EvidenceDraft(
                        kind=EvidenceKind.CANDIDATES,
                        outcome=Outcome.NEUTRAL,
                        summary=_summary(policy, found[algorithm]),
                        data={**data, "near_unverified": unverified},
                        version=algorithm,
                        ordinal=ordinal,
                    )
                )
        return drafts


def rank(near: dict[uuid.UUID, dict[str, Near]], more: Mapping[str, Policy] = MappingProxyType({})) -> list[Suspect]:
    """Return the candidates of all algorithms as one list, best first.

    What counts is how rare it is that different pictures come so near, under the algorithm where it is rarest; equals
    come in order of id.

    Args:
        more: policies of algorithms that only some catalogues use.
    """
    policies = {**_POLICIES, **more}

    def rarity(work_id: uuid.UUID) -> tuple[float, float]:
        return min(policies[name].rarity(each.distance) for name, each in near[work_id].items())

    return [
        Suspect(
            work_id,
            near[work_id],
            any(policies[name].is_near(each.distance) for name, each in near[work_id].items()),
        )
        for work_id in sorted(near, key=lambda work_id: (rarity(work_id), work_id))
    ]


def near_unverified(suspects: list[Suspect]) -> int:
    """Return how many near ones verification will not come to."""
    return sum(1 for suspect in suspects[MOST_VERIFIED:] if suspect.is_near)


def near_figures(near: dict[str, Near]) -> dict[str, Any]:
    """Return the JSON of how near a candidate is under each algorithm."""
    return {
        algorithm: {"distance": each.distance, "variant": _variants(algorithm)[each.variant]}
        for algorithm, each in near.items()
    }


def _variants(algorithm: str) -> tuple[str, ...]:
    """Return what of the picture was looked for, in the order of the query's codes or vectors."""
    return QUERY_VIEWS if algorithm == DESCRIPTOR.algorithm else TRANSFORMS


def _figures(policy: Policy, found: list[Candidate], found_is_all: bool, registry_size: int) -> dict[str, Any]:
    best = found[0].distance if found else None
    variants = _variants(policy.algorithm)
    return {
        "algorithm": policy.algorithm,
        "bits" if policy.bits else "largest_distance": policy.length,
        "candidate_radius": policy.candidate_radius,
        "near_radius": policy.near_radius,
        "near_radius_source": policy.source,
        "found": len(found),
        "found_is_all": found_is_all,
        "near": sum(1 for candidate in found if candidate.distance <= policy.near_radius),
        "best_distance": best,
        "registry_size": registry_size,
        "expected_false": {
            "at_candidate_radius": _expected(policy, registry_size, policy.candidate_radius),
            **({"at_best_distance": _expected(policy, registry_size, best)} if best is not None else {}),
        },
        "listed": [
            {"work": str(candidate.id), "distance": candidate.distance, "variant": variants[candidate.variant]}
            for candidate in found[:_MOST_LISTED]
        ],
    }


def _expected(policy: Policy, registry_size: int, tau: int) -> dict[str, Any]:
    """Return how many works that are no copies to expect within ``tau`` bits, measured and by the model."""
    expected: ExpectedFalseCandidates = policy.expected_false_candidates(registry_size, tau)
    rate: FalseMatchRate = policy.false_match_rate(tau)
    return {
        "distance": tau,
        **{name: _rounded(value) for name, value in asdict(expected).items() if value is not None},
        **({"binomial_is_theoretical": True} if policy.bits else {}),
        "measured_pairs": rate.pairs,
    }


def _rounded(value: float) -> float:
    """Return three significant digits: more would be false precision, fewer would hide small numbers."""
    return float(f"{value:.3g}")


def _summary(policy: Policy, found: list[Candidate]) -> str:
    if not policy.bits:
        return _summary_of_likes(policy, found)
    name = {"algorithm": policy.algorithm, "radius": policy.candidate_radius, "bits": policy.length}
    if not found:
        return _("%(algorithm)s: no registered work differs in %(radius)d of %(bits)d bits or fewer.") % name
    return ngettext(
        "%(algorithm)s: %(n)d registered work differs in %(radius)d of %(bits)d bits or fewer, the nearest in "
        "%(best)d. A look-alike is not a match; verification decides.",
        "%(algorithm)s: %(n)d registered works differ in %(radius)d of %(bits)d bits or fewer, the nearest in "
        "%(best)d. A look-alike is not a match; verification decides.",
        len(found),
    ) % {**name, "n": len(found), "best": found[0].distance}


def _summary_of_likes(policy: Policy, found: list[Candidate]) -> str:
    name = {"algorithm": policy.algorithm, "least": 1 - policy.candidate_radius / 1000}
    if not found:
        return _("%(algorithm)s: no registered work is like this picture by %(least).2f of 1 or more.") % name
    return ngettext(
        "%(algorithm)s: %(n)d registered work is like this picture by %(least).2f of 1 or more, at most by "
        "%(best).2f. A look-alike is not a match; verification decides.",
        "%(algorithm)s: %(n)d registered works are like this picture by %(least).2f of 1 or more, at most by "
        "%(best).2f. A look-alike is not a match; verification decides.",
        len(found),
    ) % {**name, "n": len(found), "best": 1 - found[0].distance / 1000}

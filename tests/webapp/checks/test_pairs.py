"""When verification may stop: one work that explains the whole picture, and that nobody rejected."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest

from provenance.matching.verify import PairKind, PairVerdict
from webapp.checks.pairs import REJECTIONS, _explained
from webapp.reviews.selectors import works_rejected

WORK = uuid.uuid4()


def context(kind: PairKind, overlap_query: float) -> Any:
    overlay: Any = SimpleNamespace(alignment=SimpleNamespace(overlap_query=overlap_query))
    verdict = PairVerdict(kind, 0.99, overlay, [])
    return SimpleNamespace(pairs=[SimpleNamespace(verdict=verdict, work=SimpleNamespace(pk=WORK))])


def test_a_work_that_is_all_of_the_picture_explains_it() -> None:
    assert _explained(context(PairKind.VERIFIED, 0.95), set())


@pytest.mark.parametrize(
    ("kind", "overlap", "rejected"),
    [
        (PairKind.PARTIAL, 0.95, set()),
        # A collage may show another work beside it.
        (PairKind.VERIFIED, 0.5, set()),
        # What reviewers rejected counts for nothing in the verdict.
        (PairKind.VERIFIED, 0.95, {WORK}),
    ],
)
def test_otherwise_the_search_goes_on(kind: PairKind, overlap: float, rejected: set[uuid.UUID]) -> None:
    assert not _explained(context(kind, overlap), rejected)


def test_verification_asks_the_reviewers() -> None:
    assert works_rejected in REJECTIONS

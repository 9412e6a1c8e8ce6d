"""The table of verdicts: which evidence gives which answer, and in which words."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from webapp.checks.models import Verdict
from webapp.checks.verdict import fuse

A, B = (str(uuid.UUID(int=number)) for number in (1, 2))


@dataclass
class Item:
    kind: str
    outcome: str = "neutral"
    data: dict[str, Any] = field(default_factory=dict)


def about(work: str = A) -> dict[str, Any]:
    return {"work": {"id": work, "title": "Calla" if work == A else "Bridge", "owner": "The Archive"}}


def exact(match: str = "file", work: str = A) -> Item:
    return Item("exact", "for", {"match": match, **about(work)})


def pair(outcome: str, work: str = A, near: bool = True, **figures: Any) -> Item:
    return Item("pair", outcome, {**about(work), "near": near, "inliers": 40, "overlap_reference": 0.62, **figures})


def signature(outcome: str = "leans", work: str = A, standing: str = "own") -> Item:
    return Item("signature", outcome, {**about(work), "standing": standing})


def review(outcome: str, work: str = A) -> Item:
    return Item("review", outcome, about(work))


def candidates(near_unverified: int = 0) -> Item:
    return Item("candidates", "neutral", {"near_unverified": near_unverified})


NOT_EXACT = Item("exact", "neutral", {"match": "none"})
USABLE, SIMPLE = (Item("picture", "neutral", {"usable": usable}) for usable in (True, False))
R, P, N, C = Verdict.REGISTERED, Verdict.PROBABLY_REGISTERED, Verdict.NOT_FOUND, Verdict.CANNOT_TELL


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        pytest.param([NOT_EXACT, USABLE, candidates()], N, id="nothing found"),
        pytest.param([exact(), USABLE], R, id="same file"),
        pytest.param([exact("pixels"), USABLE], R, id="same pixels"),
        pytest.param([exact(), SIMPLE], R, id="same file, though too simple to fingerprint"),
        pytest.param([exact(), pair("against"), review("against")], R, id="same file, whatever else is said"),
        pytest.param([USABLE, pair("for")], R, id="verified pair"),
        pytest.param([USABLE, pair("for", near=False)], R, id="verified pair far off"),
        pytest.param([USABLE, pair("leans")], P, id="partial pair"),
        pytest.param([USABLE, pair("leans"), pair("for", B)], R, id="one partial, one verified"),
        pytest.param([USABLE, candidates(), pair("against")], N, id="a candidate alone is no match"),
        pytest.param([USABLE, candidates(), pair("neutral")], C, id="near and undecidable"),
        pytest.param([USABLE, candidates(), pair("neutral", near=False)], N, id="far and undecidable"),
        pytest.param([USABLE, candidates(near_unverified=3)], C, id="near and never verified"),
        pytest.param([USABLE, pair("neutral"), pair("leans", B)], P, id="undecidable beside partial"),
        pytest.param([NOT_EXACT, SIMPLE], C, id="too simple"),
        pytest.param([USABLE, pair("for"), review("against")], N, id="reviewers rejected the verified pair"),
        pytest.param([USABLE, pair("leans"), review("against")], N, id="reviewers rejected the partial pair"),
        pytest.param([USABLE, pair("neutral"), review("against")], N, id="reviewers settled the undecidable pair"),
        pytest.param([USABLE, pair("for"), pair("for", B), review("against")], R, id="another pair stands"),
        pytest.param([USABLE, pair("for"), pair("leans", B), review("against")], P, id="a partial pair is left"),
        pytest.param([USABLE, pair("leans"), review("for")], R, id="reviewers confirmed the partial pair"),
        pytest.param([USABLE, pair("against"), review("for")], R, id="reviewers confirmed what verification did not"),
        pytest.param([USABLE, pair("leans"), review("neutral")], P, id="reviewers unsure change nothing"),
        pytest.param([USABLE, signature()], P, id="a signature points"),
        pytest.param([USABLE, signature(), pair("neutral")], P, id="a signature points, comparing cannot tell"),
        pytest.param([SIMPLE, signature()], P, id="a signature on what is too simple"),
        pytest.param([USABLE, signature(), pair("for")], R, id="a signature, and verification agrees"),
        pytest.param([USABLE, signature("neutral", standing="copied"), pair("against")], N, id="a copied signature"),
        pytest.param([USABLE, signature("neutral", standing="revoked")], N, id="a generator's, revoked, or none"),
        pytest.param([USABLE, signature(), review("against")], N, id="reviewers rejected what a signature points to"),
    ],
)
def test_the_table(evidence: list[Item], expected: Verdict) -> None:
    assert fuse(evidence, registry_size=30).verdict == expected
    assert fuse(evidence[::-1], registry_size=30).verdict == expected, "the order must not matter"


def test_words_name_the_work_its_owner_and_how_many_more() -> None:
    words = fuse([USABLE, pair("for"), pair("for", B, inliers=90)], registry_size=30).explanation
    assert "“Bridge” (registered by The Archive)" in words
    assert "1 more work" in words
    assert "62% of" in words
    assert "“Calla” (registered by The Archive)" in fuse([exact()], registry_size=30).explanation
    assert "Every pixel" in fuse([exact("pixels")], registry_size=30).explanation
    assert "“Calla” (registered by The Archive)" in fuse([USABLE, pair("leans")], registry_size=30).explanation


def test_a_copied_signature_is_named_beside_any_verdict() -> None:
    copied = signature("neutral", B, "copied")
    for evidence in ([USABLE, copied], [exact(), copied]):
        words = fuse(evidence, registry_size=30).explanation
        assert words.startswith(fuse(evidence[:1], registry_size=30).explanation)
        assert "It carries the signature of another record, “Bridge”" in words
    assert "another record" not in fuse([USABLE, copied, review("for", B)], registry_size=30).explanation


def test_the_same_file_is_named_before_the_same_pixels() -> None:
    words = fuse([exact("pixels"), exact("file", B)], registry_size=30).explanation
    assert "This very file" in words
    assert "Bridge" in words


def test_not_found_speaks_of_this_registry_only() -> None:
    words = fuse([USABLE], registry_size=30).explanation
    assert "Nothing in this registry of 30 works" in words
    assert "not copied" not in words
    assert "is empty" in fuse([USABLE], registry_size=0).explanation


def test_no_verdict_accuses() -> None:
    for evidence in ([exact()], [pair("for")], [pair("leans")], [pair("neutral")], [signature()], [SIMPLE], [USABLE]):
        words = fuse(evidence, registry_size=30).explanation.lower()
        assert not any(word in words for word in ("stolen", "fake", "theft", "infring", "illegal", "copied"))

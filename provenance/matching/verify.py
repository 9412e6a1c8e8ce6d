"""A pair of pictures: is one a copy, whole or in part, of the other? One calibrated probability, and how they lie.

A candidate becomes a match here and nowhere else. The query is laid over the registered picture by key points
(``provenance.images.align``) and, where those do not settle it, by grey values (``provenance.images.register``). Under
each map the two are compared (``provenance.images.agreement``), and what they have in common is described by the copy
descriptor, a network that neither of the two steps before knows. A logistic model makes one probability of it; its
numbers and its error rates are measured (``provenance.training.verification_rates``) and lie in
``curves/verify-v2.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from provenance.hashing.descriptor import DESCRIPTOR
from provenance.images.agreement import Agreement, agreement, stretch_of
from provenance.images.align import (
    WORKING_SIDE,
    Alignment,
    Features,
    align_features,
    features,
    laid_over,
    resize_map,
)
from provenance.images.register import reduced_to, register
from provenance.matching.policy import upper_bound

RGB = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

VERSION = "verify-v2"
_MODEL = Path(__file__).parent / "curves" / f"{VERSION}.json"
# What is not worth a description. Maps by grey values draw out strangers until something agrees, and copies hardly: of
# 26 that key points did not find 24 were within 4 %.
_LEAST_SHAPES, MOST_STRETCH, _MOST_STRETCH_BY_POINTS = 0.45, 1.06, 3.5

# Without key points the colours must agree so well for a match: of 26 such copies of the calibration 24 do.
_LEAST_COLOUR = 0.4

# Two pictures in one frame, such as the page of a network, agree well in one part and not in another, while heavy noise
# takes from all blocks alike. Where the better half of the blocks agrees by so much more than the worst quarter, and
# that quarter hardly agrees or the common part looks like two things to the descriptor, only a part is the same; where
# both hold, it is but the frame. Of 103 such pairs of the tuning part 3 stay matches, and of 473 copies 5 do not.
_MOST_UNEVEN, _WORST_BLOCKS, _TWO_THINGS = 0.33, 0.35, 0.5
# So much of the query that no other picture need be looked for in it.
_ALL_OF_IT = 0.85

FIGURES = (
    "inliers",
    "details",
    "shapes",
    "light",
    "colour",
    "block_median",
    "block_quartile",
    "blocks",
    "area_reference",
    "stretch",
    "descriptor",
)
"""What the probability is made of, in this order; see :func:`figures_of`."""
_INLIERS, _COLOUR, _MEDIAN, _QUARTILE, _DESCRIPTOR = (
    FIGURES.index(name) for name in ("inliers", "colour", "block_median", "block_quartile", "descriptor")
)


class PairKind(StrEnum):
    """What verification says of a pair."""

    VERIFIED = "verified"
    PARTIAL = "partial"
    REJECTED = "rejected"
    UNDECIDABLE = "undecidable"


_STRENGTH = {PairKind.REJECTED: 0, PairKind.PARTIAL: 1, PairKind.VERIFIED: 2}


@dataclass(frozen=True)
class Thresholds:
    """Probabilities that a pair must reach, 0..1.

    Attributes:
        verified: for a match; no pair of different pictures of the calibration came near it.
        partial: for the weaker answer.
    """

    verified: float
    partial: float


@dataclass(frozen=True)
class PairModel:
    """The measured logistic model.

    Attributes:
        centre, scale, weights: float64 ``[len(FIGURES)]``: the logit is ``offset + weights @ (x - centre) / scale``.
        offset: of the logit.
        thresholds: that follow from the calibration.
        hard_pairs: held-out candidate pairs of different pictures, each counted once, under whichever edits.
        false_verifications: how many of them were.
        genuine_pairs: held-out copies.
        genuine_verified: how many of them were verified.
        framed_pairs: held-out pairs of different pictures drawn into one frame each.
        framed_verified, framed_partial: how many of them were verified, and how many got the weaker answer.
    """

    centre: F64
    scale: F64
    weights: F64
    offset: float
    thresholds: Thresholds
    hard_pairs: int
    false_verifications: int
    genuine_pairs: int
    genuine_verified: int
    framed_pairs: int
    framed_verified: int
    framed_partial: int

    def probability(self, figures: npt.NDArray[np.floating]) -> float:
        """Return the probability, 0..1, that a pair with these figures ``[len(FIGURES)]`` is a copy, if copies and
        other candidates were equally frequent."""
        return float(expit(self.offset + self.weights @ ((figures - self.centre) / self.scale)))

    def kind(self, figures: npt.NDArray[np.floating]) -> PairKind:
        """Return what a pair with these figures is, if it can be decided."""
        probability = self.probability(figures)
        if probability < self.thresholds.partial:
            return PairKind.REJECTED
        uneven = figures[_MEDIAN] - figures[_QUARTILE] >= _MOST_UNEVEN
        differs, two_things = figures[_QUARTILE] < _WORST_BLOCKS, figures[_DESCRIPTOR] < _TWO_THINGS
        if uneven and differs and two_things:
            return PairKind.REJECTED
        # Two things of one shape before one background agree in grey values, and in colours seldom.
        part = uneven and (differs or two_things)
        sure = not part and (figures[_INLIERS] > 0 or figures[_COLOUR] >= _LEAST_COLOUR)
        return PairKind.VERIFIED if sure and probability >= self.thresholds.verified else PairKind.PARTIAL

    def false_verification_rate(self) -> tuple[float, float]:
        """Return how often candidates that are no copies are verified: measured share, 95 % upper bound, 0..1.

        Pairs drawn at random are easier by far.
        """
        wrong, pairs = self.false_verifications, self.hard_pairs
        return wrong / pairs, upper_bound(wrong, pairs)


@cache
def pair_model() -> PairModel:
    """Return the shipped model."""
    return model_from(json.loads(_MODEL.read_text()))


def model_from(stored: dict[str, Any]) -> PairModel:
    """Return the model that a JSON object holds, as ``verification_rates`` writes it."""
    centre, scale, weights = (
        np.array([stored[name][figure] for figure in FIGURES]) for name in ("centre", "scale", "weights")
    )
    held_out = stored["held_out"]
    return PairModel(
        centre=centre,
        scale=scale,
        weights=weights,
        offset=float(stored["offset"]),
        thresholds=Thresholds(**stored["thresholds"]),
        hard_pairs=held_out["hard_pairs"],
        false_verifications=held_out["false_verifications"],
        genuine_pairs=held_out["genuine_pairs"],
        genuine_verified=held_out["genuine_verified"],
        framed_pairs=held_out["framed_pairs"],
        framed_verified=held_out["framed_verified"],
        framed_partial=held_out["framed_partial"],
    )


@dataclass(frozen=True, eq=False)
class Described:
    """What verification needs of a picture, however large it is.

    Attributes:
        small: uint8 ``[h, w, 3]``, at most 640 a side.
        features: key points of the whole picture.
    """

    small: RGB
    features: Features

    @property
    def to_small(self) -> F64:
        """The map ``[3, 3]`` from the picture's pixel coordinates to those of ``small``."""
        height, width, _ = self.small.shape
        return resize_map(width / self.features.width, height / self.features.height)


def described(picture: RGB) -> Described:
    """Describe a uint8 ``[H, W, 3]`` sRGB picture; about 0.1 s on one core."""
    small = reduced_to(picture, WORKING_SIDE) if max(picture.shape[:2]) > WORKING_SIDE else picture
    return Described(small, features(picture))


@dataclass(frozen=True, eq=False)
class Overlay:
    """One way in which a query lies in a reference, and what speaks for it.

    Attributes:
        alignment: the map; without inliers where it was found by grey values.
        agreement: of the two under it.
        descriptor: cosine of the common part's descriptors, -1..1.
    """

    alignment: Alignment
    agreement: Agreement
    descriptor: float


def figures_of(overlay: Overlay) -> F64:
    """Return the numbers of :data:`FIGURES`, float64: counts and the stretch as logarithms."""
    agreed = overlay.agreement
    return np.array(
        [
            np.log1p(overlay.alignment.inliers),
            agreed.details,
            agreed.shapes,
            agreed.light,
            agreed.colour,
            agreed.block_median,
            agreed.block_quartile,
            np.log1p(agreed.blocks),
            agreed.area_reference,
            np.log(agreed.stretch),
            overlay.descriptor,
        ]
    )


@dataclass(frozen=True, eq=False)
class PairVerdict:
    """What verification found.

    Attributes:
        kind: verified, partial, rejected or undecidable (a picture is too plain to tell).
        probability: that it is a copy, 0..1, see :meth:`PairModel.probability`; 0 where no map was found.
        overlay: how the query lies in the reference, where a map was found.
        reasons: sentences with the figures that decided.
        version: of the method and its thresholds.
    """

    kind: PairKind
    probability: float
    overlay: Overlay | None
    reasons: list[str]
    version: str = VERSION
    thresholds: Thresholds = field(default_factory=lambda: pair_model().thresholds)

    @property
    def alignment(self) -> Alignment | None:
        """How the query lies in the reference, where a map was found."""
        return self.overlay.alignment if self.overlay is not None else None

    @property
    def explains_query(self) -> bool:
        """Whether the reference is all, or nearly all, that the query shows."""
        alignment = self.alignment
        return self.kind == PairKind.VERIFIED and alignment is not None and alignment.overlap_query >= _ALL_OF_IT


def verify_pair(query: RGB, reference: RGB) -> PairVerdict:
    """Verify a pair of uint8 ``[H, W, 3]`` sRGB pictures: the first way of lying over each other that makes a match
    counts, or else the most probable one.

    Raises:
        provenance.models.errors.ModelMissing: the descriptor's weights are not here.
    """
    return verify_described(described(query), described(reference))


def verify_described(query: Described, reference: Described) -> PairVerdict:
    """As :func:`verify_pair`, for pictures described before: one query is described once for many references."""
    for picture, name in ((query, "The picture asked about"), (reference, "The registered picture")):
        # Of what is plain, countless pictures agree.
        if not picture.features.enough:
            count = len(picture.features.points)
            reason = f"{name} has only {count} key points: too plain to compare."
            return PairVerdict(PairKind.UNDECIDABLE, 0.0, None, [reason])
    model = pair_model()
    best: Overlay | None = None
    kind, probability = PairKind.REJECTED, 0.0
    for overlay in overlays(query, reference):
        figures = figures_of(overlay)
        here, kind_here = model.probability(figures), model.kind(figures)
        if best is None or (_STRENGTH[kind_here], here) > (_STRENGTH[kind], probability):
            best, probability, kind = overlay, here, kind_here
        if kind == PairKind.VERIFIED:
            break
    reasons = [_reason(best)] if best is not None else ["No part of one lies in the other."]
    return PairVerdict(kind, probability, best, reasons)


def overlays(query: Described, reference: Described) -> Iterator[Overlay]:
    """Yield the ways in which one may lie in the other, found as they are asked for: by key points, by grey values."""
    by_points = align_features(query.features, reference.features)
    if by_points is not None:
        yield from _overlay(query, reference, by_points)
    for found in register(query.small, reference.small):
        if stretch_of(found.homography, query.small.shape[1], query.small.shape[0]) <= MOST_STRETCH:
            to_reference = np.linalg.inv(reference.to_small) @ found.homography @ query.to_small
            placed = laid_over(to_reference, query.features, reference.features, mirrored=found.mirrored)
            if placed is not None:
                yield from _overlay(query, reference, placed)


def _overlay(query: Described, reference: Described, alignment: Alignment) -> Iterator[Overlay]:
    at_small = reference.to_small @ alignment.homography @ np.linalg.inv(query.to_small)
    agreed = agreement(query.small, reference.small, at_small)
    if agreed is not None and agreed.shapes >= _LEAST_SHAPES and agreed.stretch <= _MOST_STRETCH_BY_POINTS:
        one, other = DESCRIPTOR.describe([agreed.query, agreed.reference])
        yield Overlay(alignment, agreed, float(one @ other))


def _reason(overlay: Overlay) -> str:
    found, agreed = overlay.alignment, overlay.agreement
    way = (
        f"{found.inliers} of {found.matches} key points agree on one map"
        if found.inliers
        else "No key points agree on a map; grey values do"
    )
    return (
        f"{way}. There shapes correlate by {agreed.shapes:.2f}, details by {agreed.details:.2f} and colours by"
        f" {agreed.colour:.2f}, the better half of its blocks by {agreed.block_median:.2f} and the worst quarter by"
        f" {agreed.block_quartile:.2f}, and the descriptors of the common part by {overlay.descriptor:.2f}. It is"
        f" {found.overlap_query:.0%} of the picture asked about, {found.overlap_reference:.0%} of the registered one."
    )

"""What ``benchmarks.deephash`` measures of codes and feature vectors. All sums are float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.hashing import threshold_at
from benchmarks.recall import wilson
from provenance.hashing.autoencoders import Features, Packed
from provenance.images.quality import legacy_psnr_uint8, psnr, ssim
from provenance.matching.policy import upper_bound

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Words = npt.NDArray[np.str_]
Pairs = list[tuple[int, int]]

NEIGHBOURS = 5


@dataclass(frozen=True)
class Codes:
    """Codes of pictures: packed uint8 ``[N, bits / 8]``, and feature vectors float32 ``[N, F]``."""

    packed: Packed
    features: Features

    def of(self, rows: npt.NDArray[np.int64]) -> Codes:
        """Return those of some pictures."""
        return Codes(self.packed[rows], self.features[rows])


# --- Looking up ---


def distances(queries: Codes, database: Codes) -> F64:
    """Return Hamming distances with what breaks ties added, ``[Q, N]``: the whole part counts bits, the rest orders
    equals by the squared difference of their feature vectors."""
    words = _words(database.packed)
    asked, known = queries.features.astype(np.float64), database.features.astype(np.float64)
    differences = np.square(asked).sum(1)[:, None] + np.square(known).sum(1) - 2 * asked @ known.T
    # Rounding may leave a picture a little less than nothing away from itself, which would count as a bit.
    differences = np.maximum(differences, 0)
    bits = np.stack([np.bitwise_count(words ^ code).sum(1) for code in _words(queries.packed)])
    return np.asarray(bits + differences / (1 + differences) * 0.999)


def _words(packed: Packed) -> npt.NDArray[np.uint64]:
    padding = -packed.shape[1] % 8
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, padding)))).view(np.uint64)


def nearest(queries: Codes, database: Codes) -> tuple[npt.NDArray[np.int64], F64]:
    """Look queries up, :data:`NEIGHBOURS` each by code, and return which of those has the nearest feature vector and
    its squared difference, by which one decides whether a query is registered."""
    rows, least = [], []
    for at in np.array_split(np.arange(len(queries.packed)), -(-len(queries.packed) // 256)):
        few = queries.of(at)
        near = np.argpartition(distances(few, database), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        apart = np.square(database.features[near].astype(np.float64) - few.features[:, None]).sum(2)
        best = apart.argmin(1)
        rows.append(near[np.arange(len(at)), best])
        least.append(apart[np.arange(len(at)), best])
    return np.concatenate(rows), np.concatenate(least)


def hit_by_code(codes: Codes, k: int) -> float:
    """Return how often an unedited registered picture is among the first ``k`` by its code alone: of m pictures with
    one code each is among the first k with chance k / m."""
    _, inverse, counts = np.unique(codes.packed, axis=0, return_inverse=True, return_counts=True)
    return float(np.minimum(1, k / counts[inverse.ravel()]).mean())


def retrieval(apart: F64, labels: Words, wanted: Words) -> tuple[float, float, float]:
    """Return macro precision and recall of the nearest picture's class, and mAP over the whole ranking.

    Args:
        apart: of queries and database, ``[Q, N]``. labels: classes of the database. wanted: of the queries.
    """
    given = labels[apart.argmin(1)]
    classes = np.unique(labels)
    precision = np.mean([(wanted[given == one] == one).mean() if (given == one).any() else 0.0 for one in classes])
    recall = np.mean([(given[wanted == one] == one).mean() if (wanted == one).any() else 0.0 for one in classes])
    ranks = np.arange(1, len(labels) + 1)
    average = []
    for row, label in zip(apart, wanted, strict=True):
        relevant = labels[row.argsort(kind="stable")] == label
        average.append(float((relevant.cumsum() / ranks)[relevant].mean()) if relevant.any() else 0.0)
    return float(precision), float(recall), float(np.mean(average))


@dataclass(frozen=True)
class Likeness:
    """How alike pictures are in pairs: the share that is identical, the mean PSNR of the others (dB, nan if there are
    none), the mean SSIM, and the mean of the paper's PSNR, which overflows."""

    identical: float
    psnr: float
    ssim: float
    legacy: float


def likeness(queries: U8, found: U8) -> Likeness:
    """Compare pictures, uint8 ``[N, side, side]`` each."""
    pairs = list(zip(queries, found, strict=True))
    values = np.array([psnr(a, b) for a, b in pairs])
    others = values[np.isfinite(values)]
    return Likeness(
        1 - len(others) / len(values),
        float(others.mean()) if len(others) else float("nan"),
        float(np.mean([ssim(a, b) for a, b in pairs])),
        float(np.mean([legacy_psnr_uint8(a, b) for a, b in pairs])),
    )


# --- Collisions ---


def collisions(codes: Codes) -> tuple[float, float, float]:
    """Return the three rates of collision: pictures that share a code; pictures beyond the distinct codes; pairs."""
    count = len(codes.packed)
    _, counts = np.unique(codes.packed, axis=0, return_counts=True)
    pairs = float((counts * (counts - 1) / 2).sum()) / (count * (count - 1) / 2)
    return float(counts[counts > 1].sum() / count), 1 - len(counts) / count, pairs


def same_code_pairs(codes: Codes) -> Pairs:
    """Return the pairs of rows that share a code, the first before the second."""
    _, inverse, counts = np.unique(codes.packed, axis=0, return_inverse=True, return_counts=True)
    pairs: Pairs = []
    for code in np.flatnonzero(counts > 1):
        rows = np.flatnonzero(inverse.ravel() == code)
        pairs += [(int(a), int(b)) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    return pairs


def distinct_rates(pairs: Pairs, count: int) -> tuple[float, float, float]:
    """Return the rates of :func:`collisions` of those of :func:`same_code_pairs` that are of different pictures, of
    ``count`` pictures."""
    sharing = {row for pair in pairs for row in pair}
    beyond = {second for _, second in pairs}
    return len(sharing) / count, len(beyond) / count, len(pairs) / (count * (count - 1) / 2)


# --- Shares of copies ---


@dataclass(frozen=True)
class Copies:
    """Which copies of some pictures were found, bool ``[pictures, copies]``."""

    found: Bools

    @property
    def share(self) -> float:
        """0..1."""
        return float(self.found.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval, 0..1, with the effective number of trials (Korn and Graubard 1998): copies of one
        picture are found or lost together, so that there are fewer than copies, down to one a picture."""
        pictures, copies = self.found.shape
        effective = float(pictures)
        if 0 < self.share < 1 and pictures > 1:
            error = self.found.mean(1).var(ddof=1) / pictures
            effective = min(pictures * copies, self.share * (1 - self.share) / error) if error else pictures * copies
        return wilson(self.share, effective)

    @property
    def text(self) -> str:
        """Per cent, with the interval in brackets."""
        low, high = self.interval
        return f"{100 * self.share:.1f} ({100 * low:.1f}-{100 * high:.1f})"


# --- Registered or not ---


@dataclass(frozen=True)
class Decision:
    """Registered or not, by a score: lower is more alike, infinite where another than the source was found.

    Attributes:
        threshold: below it a query counts as registered.
        wrong, asked: unregistered queries that counted so, and all; none of them helped to set the threshold.
        unedited: share of the registered pictures that counted so.
        edited: their edited copies.
    """

    threshold: float
    wrong: int
    asked: int
    unedited: float
    edited: Copies

    @property
    def fpr(self) -> float:
        """0..1."""
        return self.wrong / self.asked

    @property
    def bound(self) -> float:
        """The one-sided 95 % bound on it."""
        return upper_bound(self.wrong, self.asked)


def decide(edited: F64, unedited: F64, unregistered: F64, most: float) -> Decision:
    """Set the threshold on every second unregistered query, so that at most so large a share of them counts as
    registered, and measure on the others.

    Args:
        edited: scores ``[pictures, copies]``. unedited: ``[registered]``. unregistered: ``[queries]``.
    """
    half = np.sort(unregistered[::2])
    cut = float(half[int(most * len(half))])
    others = unregistered[1::2]
    return Decision(cut, int((others < cut).sum()), len(others), float((unedited < cut).mean()), Copies(edited < cut))


@dataclass(frozen=True)
class PairDecision:
    """One code against one other: the threshold in bits, the rate of pairs of different pictures within it, and the
    copies within it of their source."""

    threshold: int
    fpr: float
    edited: Copies


def decide_pairs(genuine: Counts, strangers: Counts, most: float) -> PairDecision:
    """Set the threshold by every second picture's pairs, and measure on those of the others.

    Args:
        genuine: bits between copies and their source, ``[pictures, copies]``.
        strangers: of each picture's copies how many registered others are at each distance, ``[pictures, bits + 1]``.
    """
    cut = threshold_at(strangers[::2].sum(0), most)
    others = strangers[1::2].sum(0)
    return PairDecision(cut, float(others[: cut + 1].sum() / others.sum()), Copies(genuine[1::2] <= cut))

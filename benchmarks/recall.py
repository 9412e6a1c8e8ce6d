"""How many edited copies are found at 99.99 % precision, by each hash alone and after pair verification.

Queries are edited copies of registered photographs; the registry is the test part of Flickr8k and Caltech 101
(nothing was trained or tuned on it). Each query is compared with every registered picture as the site does
it, its eight dihedral variants included. For a hash alone there is one threshold for all edits: the largest at
which at least 99.99 % of all pairs within it, pooled over edits, are true copies. After verification there is no
threshold to choose: candidates within the site's radii, the best 20 of them, count when they are verified.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from provenance.hashing.code import HashCode
from provenance.hashing.descriptor import CROPS, DESCRIPTOR, Vectors
from provenance.hashing.descriptor import distances as descriptor_distances
from provenance.hashing.hasher import HASHERS
from provenance.images.align import align_features
from provenance.images.decode import decode
from provenance.images.edits import SITE, THORN, apply
from provenance.matching.policy import ALWAYS_VERIFIED, DESCRIPTOR_POLICY, MOST_VERIFIED, POLICIES, Policy
from provenance.matching.verify import Described, PairKind, described, verify_described
from provenance.training.pictures import Part, encoded_pictures, part_of

PRESETS: tuple[str, ...] = tuple(dict.fromkeys((*THORN, *SITE)))
PRECISION = 0.9999

Codes = npt.NDArray[np.uint64]


def wilson(share: float, trials: float) -> tuple[float, float]:
    """Return the 95 % score interval (Wilson 1927), 0..1, of a share that was seen in so many trials."""
    z = float(norm.ppf(0.975))
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + (z / 2 / trials) ** 2)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


@dataclass(frozen=True)
class Cell:
    """Found of all, with the Wilson 95 % interval of the share."""

    found: int
    all: int

    @property
    def share(self) -> float:
        """0..1."""
        return self.found / self.all

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson score interval, 0..1."""
        return wilson(self.share, self.all)

    @property
    def text(self) -> str:
        """Per cent, with the interval in brackets."""
        low, high = self.interval
        return f"{100 * self.share:.1f} ({100 * low:.1f}-{100 * high:.1f})"


@dataclass(frozen=True)
class RecallTable:
    """Recall for each preset and column.

    Attributes:
        columns: names, in order.
        rows: preset -> column -> cell; the row ``all`` pools every preset.
        thresholds: Hamming threshold of each hash at 99.99 % precision.
        queries, registry: how many edited copies were looked for among how many registered pictures.
        false_verified: pairs that verification took for copies and that are none, by name.
    """

    columns: tuple[str, ...]
    rows: dict[str, dict[str, Cell]]
    thresholds: dict[str, int]
    queries: int
    registry: int
    false_verified: list[tuple[str, str]]

    def to_markdown(self) -> str:
        """Return the table, per cent with 95 % intervals."""
        head = f"| edit | {' | '.join(self.columns)} |\n|---|{'---|' * len(self.columns)}\n"
        return head + "".join(
            f"| {preset} | {' | '.join(cells[column].text for column in self.columns)} |\n"
            for preset, cells in self.rows.items()
        )

    def for_page(self) -> dict[str, Any]:
        """Return what the site's accuracy page shows."""
        return {
            "pictures": self.queries // len(PRESETS),
            "registry": self.registry,
            "columns": list(self.columns),
            "thresholds": self.thresholds,
            "false_verified": self.false_verified,
            "rows": [
                {"edit": preset, "cells": [{"column": name, "text": cells[name].text} for name in self.columns]}
                for preset, cells in self.rows.items()
            ],
        }


@dataclass(frozen=True)
class _Query:
    source: int
    preset: str
    distances: dict[str, npt.NDArray[np.uint16]]
    verified: list[int]


def photographs(count: int | None = None) -> list[tuple[str, bytes]]:
    """Return (name, file bytes) of pictures of the test part: all of them, or ``count`` spread over both archives.

    Raises:
        DataMissing: the pictures are not there.
    """
    files = [
        entry
        for archive in ("flickr8k.tar", "caltech101.tar")
        for entry in encoded_pictures(archive, held_out=True)
        if part_of(entry[0]) == Part.TEST
    ]
    if count is None or count >= len(files):
        return files
    step = len(files) / count
    return [files[int(i * step)] for i in range(count)]


def recall_table(registry: Sequence[tuple[str, bytes]], queries: int, seed: int = 0) -> RecallTable:
    """Measure on ``queries`` pictures of the registry under every preset of ``PRESETS``."""
    kin = register(registry)
    step = len(registry) / queries
    jobs = [(int(i * step), preset, seed) for i in range(queries) for preset in PRESETS]
    # A new pool, so that its processes see the registry's codes.
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(_ask, jobs, chunksize=len(PRESETS)))
    return _tabulate(answers, kin, [name for name, _data in registry])


def register(registry: Sequence[tuple[str, bytes]]) -> dict[int, set[int]]:
    """Hash the pictures that are looked for, for this process and those it starts from now on.

    Returns:
        For each of them the others that show the same content: they are no false matches.
    """
    _STATE.files = list(registry)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        coded = list(pool.map(_hash, range(len(registry)), chunksize=32))
    _STATE.codes = {name: np.stack([codes[name][0] for codes, _ in coded]) for name in HASHERS}
    _STATE.descriptors = np.stack([vectors for _, vectors in coded])
    kin: dict[int, set[int]] = defaultdict(set)
    for one, other in _twins([codes for codes, _ in coded]):
        kin[one].add(other)
        kin[other].add(one)
    return kin


class _State:
    files: list[tuple[str, bytes]]
    codes: dict[str, Codes]
    descriptors: Vectors


_STATE = _State()


def _hash(index: int) -> tuple[dict[str, Codes], Vectors]:
    pixels = decode(_STATE.files[index][1]).pixels
    codes = {
        name: np.stack([_words(code) for code in hasher.hash_dihedral(pixels)]) for name, hasher in HASHERS.items()
    }
    vectors = DESCRIPTOR.describe_crops(pixels)
    # One that is too simple is near to nothing.
    return codes, np.zeros((len(CROPS), DESCRIPTOR.width), np.float32) if vectors is None else vectors


def _nearest(variants: Codes, stored: Codes) -> npt.NDArray[np.uint16]:
    counts = np.bitwise_count(variants[:, None, :] ^ stored[None, :, :]).sum(axis=2, dtype=np.uint16)
    nearest: npt.NDArray[np.uint16] = counts.min(axis=0)
    return nearest


@lru_cache(maxsize=512)
def _registered(index: int) -> Described:
    return described(decode(_STATE.files[index][1]).pixels)


def _twins(coded: list[dict[str, Codes]]) -> set[tuple[int, int]]:
    """Pairs of registered pictures that share their content, found within the candidate radius and aligned: a second
    copy of the same picture is no false match."""
    twins = set()
    for name in HASHERS:
        for i, codes in enumerate(coded):
            for j in np.flatnonzero(_nearest(codes[name], _STATE.codes[name]) <= POLICIES[name].candidate_radius):
                pair = (min(i, int(j)), max(i, int(j)))
                if i != j and pair not in twins:
                    found = align_features(_registered(i).features, _registered(int(j)).features)
                    if found is not None and found.inliers >= 20 and found.similarity > 0.5:
                        twins.add(pair)
    return twins


def look_up(edited: npt.NDArray[np.uint8]) -> tuple[dict[str, npt.NDArray[np.uint16]], list[int]]:
    """Look a picture up as the site does.

    Returns:
        Its distance to every registered picture for each hash, and the pictures that verification takes for its source.
    """
    distances: dict[str, npt.NDArray[np.uint16]] = {}
    rarity: dict[int, tuple[float, float]] = {}
    near: set[int] = set()
    for name, hasher in HASHERS.items():
        variants = np.stack([_words(code) for code in hasher.hash_dihedral(edited)])
        distances[name] = _nearest(variants, _STATE.codes[name])
        _note(rarity, near, POLICIES[name], distances[name])
    vectors = DESCRIPTOR.describe_query(edited)
    if vectors is not None:
        _note(rarity, near, DESCRIPTOR_POLICY, least_distances(vectors, _STATE.descriptors))
    query = described(edited)
    verified: list[int] = []
    explained = False
    ranked = sorted(rarity, key=lambda index: (rarity[index], index))[:MOST_VERIFIED]
    for ordinal, index in enumerate(ranked):
        if ordinal >= ALWAYS_VERIFIED and index not in near and explained:
            continue
        verdict = verify_described(query, _registered(index))
        explained |= verdict.explains_query
        if verdict.kind == PairKind.VERIFIED:
            verified.append(index)
    return distances, verified


def _note(rarity: dict[int, tuple[float, float]], near: set[int], policy: Policy, found: npt.NDArray[Any]) -> None:
    """Keep for each picture within the candidate radius how rare it is that strangers come so near, and which are near
    by themselves."""
    for index in np.flatnonzero(found <= policy.candidate_radius):
        if found[index] <= policy.near_radius:
            near.add(int(index))
        rare = policy.rarity(int(found[index]))
        rarity[int(index)] = min(rarity.get(int(index), rare), rare)


def least_distances(vectors: Vectors, registered: Vectors) -> npt.NDArray[np.int64]:
    """Return int64 ``[N]``: how far the nearest of a query's vectors is from the nearest of each picture's,
    float32 ``[N, crops, 256]``."""
    count, crops, width = registered.shape
    found = descriptor_distances(vectors, registered.reshape(-1, width)).reshape(-1, count, crops)
    return np.asarray(found.min((0, 2)), np.int64)


def _ask(job: tuple[int, str, int]) -> _Query:
    source, preset, seed = job
    edited = apply(preset, decode(_STATE.files[source][1]).pixels, seed + source)
    return _Query(source, preset, *look_up(edited))


def _words(code: HashCode) -> Codes:
    """Return a code as 64-bit words, the last filled up with zeros."""
    return np.frombuffer(code.bits.ljust(-(-code.length // 64) * 8, b"\0"), dtype=np.uint64)


def _tabulate(answers: list[_Query], kin: dict[int, set[int]], names: list[str]) -> RecallTable:

    def is_copy(query: _Query, index: int) -> bool:
        return index == query.source or index in kin[query.source]

    thresholds = {}
    for name, hasher in HASHERS.items():
        true, false = np.zeros(hasher.length + 1, dtype=np.int64), np.zeros(hasher.length + 1, dtype=np.int64)
        for query in answers:
            true[query.distances[name][query.source]] += 1
            others = np.bincount(query.distances[name], minlength=hasher.length + 1)
            for index in {query.source, *kin[query.source]}:
                others[query.distances[name][index]] -= 1
            false += others
        good = np.cumsum(true) >= PRECISION * (np.cumsum(true) + np.cumsum(false))
        allowed = np.flatnonzero(good & (np.cumsum(true) > 0))
        thresholds[name] = int(allowed[-1]) if allowed.size else -1
    columns = (*(f"{name.rsplit('-', 1)[0]} alone" for name in HASHERS), "verified")
    rows: dict[str, dict[str, Cell]] = {}
    for preset in ("all", *PRESETS):
        asked = [query for query in answers if preset in ("all", query.preset)]
        cells = {
            column: Cell(sum(bool(q.distances[name][q.source] <= thresholds[name]) for q in asked), len(asked))
            for column, name in zip(columns, HASHERS, strict=False)
        }
        cells["verified"] = Cell(sum(query.source in query.verified for query in asked), len(asked))
        rows[preset] = cells
    wrong = {
        (names[query.source], names[index])
        for query in answers
        for index in query.verified
        if not is_copy(query, index)
    }
    return RecallTable(columns, rows, thresholds, len(answers), len(names), sorted(wrong))

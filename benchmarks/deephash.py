"""Deep hashing of copyright images: the experiments of Yang et al. (J.UCS 2023) made again, with what they mean.

The registry is every photograph of Flickr8k and Caltech 101; queries under edits are of its test part, which nothing
was trained or tuned on (``provenance.training.pictures.part_of``). Pictures that are not registered ("copyright-free")
are the ImageNet sample and pictures of CIFAR-10, two of the paper's sources. All distances are between single codes; a
query that shares its nearest code with others finds its source by chance, and counts as that chance ("code alone"), or
by its feature vector, as the paper's look-up does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.deephash_nets import EPOCHS, SCALES, SHIPPED_EPOCHS, autoencoder, history, registry, some_pictures
from benchmarks.hashing import Table
from benchmarks.recall import Cell
from benchmarks.results import FOLDER, QUICK, publish
from provenance.hashing.autoencoders import AutoencoderHash, Features, Packed, grey
from provenance.hashing.deephash import EDIT_HASH
from provenance.hashing.dinohash import squared
from provenance.images.decode import decode
from provenance.images.edits import DEEPHASH, apply
from provenance.images.quality import legacy_psnr_uint8, psnr, ssim
from provenance.models.autoencoder_nets import KINDS
from provenance.training.deephash_pictures import CIFAR, SIDE
from provenance.training.impostor_curves import share_pixels
from provenance.training.pictures import Part, part_of

U8 = npt.NDArray[np.uint8]
Distances = npt.NDArray[np.float64]

QUERIES = 8 if QUICK else 120
SHOWN = 12 if QUICK else 200
FREE_IMAGENET, FREE_CIFAR = (60, 60) if QUICK else (1000, 9000)
CIFAR_DATABASE, CIFAR_QUERIES = (200, 60) if QUICK else (10_000, 1200)
RATE = 1e-4
NEIGHBOURS = 5
# Not all of the paper's lengths: each net that is not shipped is trained here.
TABLE: dict[str, tuple[int, ...]] = (
    {"con-vae": (16, 64)} if QUICK else {"ae": (16, 64), "res-ae": (16, 64), "con-vae": (16, 64, 128), "vte": (16, 64)}
)
OURS = "edit-hash-64-v1 (ours)"
_NAMES = {"ae": "AE", "res-ae": "Res-AE", "con-vae": "Con-VAE", "vte": "VTE"}
_LIMIT_OF_PAIRS = 400


@dataclass(frozen=True)
class Views:
    """Pictures as both kinds of hash see them: grey uint8 ``[N, 128, 128]`` and RGB uint8 ``[N, S, S, 3]``."""

    levels: U8
    squares: U8


@dataclass(frozen=True)
class Codes:
    """Codes of pictures: packed uint8 ``[N, bits / 8]``, and feature vectors float32 ``[N, bits]``."""

    packed: Packed
    features: Features


Encoder = Callable[[Views], Codes]


def encoders(source: str) -> dict[tuple[str, int], Encoder]:
    """Return what encodes pictures, by kind and bits, ours last."""

    def of_grey(net: AutoencoderHash) -> Encoder:
        side = net.net.architecture.side
        return lambda views: Codes(*net.encode_grey(_reduced(views.levels, side)))

    found: dict[tuple[str, int], Encoder] = {
        (kind, bits): of_grey(autoencoder(kind, bits, source)) for kind, lengths in TABLE.items() for bits in lengths
    }
    found["ours", 64] = lambda views: Codes(*EDIT_HASH.encode_squares(views.squares))
    return found


def _reduced(levels: U8, side: int) -> U8:
    """Pictures of CIFAR-10 are compared as they are; anything else has the net's side already."""
    assert levels.shape[1] == side, f"{levels.shape} for a net of {side} pixels"
    return levels


def distances(queries: Codes, database: Codes) -> Distances:
    """Return Hamming distances with what breaks ties added, float64 ``[Q, N]``: the whole part counts bits, the rest
    orders equals by the mean squared difference of their feature vectors."""
    words = _words(database.packed)
    found = np.empty((len(queries.packed), len(database.packed)), np.float64)
    squares = np.square(database.features).sum(1)
    for row, (code, feature) in enumerate(zip(_words(queries.packed), queries.features, strict=True)):
        bits = np.bitwise_count(words ^ code).sum(1)
        differences = squares - 2 * database.features @ feature + feature @ feature
        found[row] = bits + differences / (1 + differences) * 0.999
    return found


def scores(queries: Codes, database: Codes) -> tuple[npt.NDArray[np.int64], Distances]:
    """Look queries up, :data:`NEIGHBOURS` each by code, and return which of those has the nearest feature vector and
    its squared difference, by which one decides whether a query is registered."""
    rows, least = [], []
    for at in np.array_split(np.arange(len(queries.packed)), -(-len(queries.packed) // 256)):
        few = Codes(queries.packed[at], queries.features[at])
        near = np.argpartition(distances(few, database), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        apart = np.square(database.features[near] - few.features[:, None]).sum(2)
        best = apart.argmin(1)
        rows.append(near[np.arange(len(at)), best])
        least.append(apart[np.arange(len(at)), best])
    return np.concatenate(rows), np.concatenate(least).astype(np.float64)


def _words(packed: Packed) -> npt.NDArray[np.uint64]:
    padding = -packed.shape[1] % 8
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, padding)))).view(np.uint64)


def hit_by_code(codes: Codes, k: int) -> float:
    """Return how often an unedited registered picture is among the first ``k`` by its code alone: of m pictures with
    one code each is among the first k with chance k / m."""
    _, inverse, counts = np.unique(codes.packed, axis=0, return_inverse=True, return_counts=True)
    return float(np.minimum(1, k / counts[inverse.ravel()]).mean())


def collisions(codes: Codes) -> tuple[float, float, float]:
    """Return the three rates of collision: pictures that share a code; pictures beyond the distinct codes; pairs."""
    count = len(codes.packed)
    _, counts = np.unique(codes.packed, axis=0, return_counts=True)
    pairs = float((counts * (counts - 1) / 2).sum()) / (count * (count - 1) / 2)
    return float(counts[counts > 1].sum() / count), 1 - len(counts) / count, pairs


def same_code_pairs(codes: Codes) -> list[tuple[int, int]]:
    """Return the pairs of rows that share a code."""
    _, inverse, counts = np.unique(codes.packed, axis=0, return_inverse=True, return_counts=True)
    pairs = []
    for code in np.flatnonzero(counts > 1):
        rows = np.flatnonzero(inverse.ravel() == code)
        pairs += [(int(a), int(b)) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    return pairs


# --- Pictures ---


def edited_queries(rows: npt.NDArray[np.int64]) -> dict[str, Views]:
    """Return the registered pictures of these rows under each of the paper's edits."""
    found: dict[str, tuple[list[U8], list[U8]]] = {edit: ([], []) for edit in DEEPHASH}
    for row in rows:
        pixels = decode(registry().encoded[row]).pixels
        for edit in DEEPHASH:
            changed = apply(edit, pixels, int(row))
            found[edit][0].append(grey(changed, SIDE))
            found[edit][1].append(squared(changed, EDIT_HASH.side))
    return {edit: Views(np.stack(levels), np.stack(squares)) for edit, (levels, squares) in found.items()}


def views_of(pictures: list[U8], side: int = SIDE) -> Views:
    """Return pictures as both kinds of hash see them."""
    return Views(
        np.stack([grey(pixels, side) for pixels in pictures]),
        np.stack([squared(pixels, EDIT_HASH.side) for pixels in pictures]),
    )


# --- Experiments ---


def copyright_table(
    nets: dict[tuple[str, int], Encoder], database: dict[tuple[str, int], Codes], free: Views
) -> tuple[Table, dict[tuple[str, int], float]]:
    """Tabulate what unedited queries find, registered and not, and how alike it is; and hit@1 by the code alone."""
    head = ["hash", "bits", "hit@1", "@3", "@5", "with features @1", "identical", "PSNR of the others", "SSIM",
            "legacy PSNR", "not registered: PSNR", "SSIM", "legacy PSNR"]  # fmt: skip
    rows, hits = [], {}
    random = np.random.Generator(np.random.PCG64(0))
    levels = registry().levels
    shown = np.linspace(0, len(levels) - 1, SHOWN).astype(int)
    few = Views(free.levels[:SHOWN], free.squares[:SHOWN])
    for (kind, bits), codes in database.items():
        by_code = [hit_by_code(codes, k) for k in (1, 3, 5)]
        hits[kind, bits] = by_code[0]
        own = Codes(codes.packed[shown], codes.features[shown])
        apart = distances(own, codes)
        with_features = float((apart.argmin(1) == shown).mean())
        # By the code alone: one of the nearest, whichever.
        whole = np.floor(apart) + random.random(apart.shape)
        registered = _likeness(levels[shown], levels[whole.argmin(1)])
        asked = nets[kind, bits](few)
        unregistered = _likeness(few.levels, levels[distances(asked, codes).argmin(1)])
        rows.append([
            _NAMES.get(kind, OURS), str(bits), *(f"{100 * hit:.2f}" for hit in by_code), f"{100 * with_features:.2f}",
            f"{100 * registered[0]:.1f} %", *(f"{value:.2f}" for value in registered[1:]),
            *(f"{value:.2f}" for value in unregistered[1:]),
        ])  # fmt: skip
    return Table(head, rows), hits


def _likeness(queries: U8, found: U8) -> tuple[float, float, float, float]:
    """Return the share of identical pairs, the mean PSNR of the others (dB), the mean SSIM and the mean legacy PSNR."""
    values = [psnr(a, b) for a, b in zip(queries, found, strict=True)]
    others = [value for value in values if np.isfinite(value)]
    return (
        1 - len(others) / len(values),
        float(np.mean(others)) if others else float("nan"),
        float(np.mean([ssim(a, b) for a, b in zip(queries, found, strict=True)])),
        float(np.mean([legacy_psnr_uint8(a, b) for a, b in zip(queries, found, strict=True)])),
    )


@dataclass(frozen=True)
class Edited:
    """What edited queries found under one hash: hit@1 by edit, the SSIM of what was found, all distances to the source
    in bits, a histogram of those to all others, and each query's :func:`scores`; infinite where not the source was
    nearest."""

    hits: dict[str, Cell]
    similarity: float
    genuine: npt.NDArray[np.int64]
    strangers: npt.NDArray[np.int64]
    scores: Distances


def ask_edited(encode: Encoder, codes: Codes, queries: dict[str, Views], rows: npt.NDArray[np.int64]) -> Edited:
    """Look every edited query up."""
    hits, genuine, similarity, decided = {}, [], [], []
    strangers = np.zeros(codes.features.shape[1] + 1, np.int64)
    levels = registry().levels
    for edit, views in queries.items():
        asked = encode(views)
        apart = distances(asked, codes)
        first = apart.argmin(1)
        best, least = scores(asked, codes)
        decided.append(np.where(best == rows, least, np.inf))
        hits[edit] = Cell(int((first == rows).sum()), len(rows))
        genuine.append(apart[np.arange(len(rows)), rows].astype(np.int64))
        similarity += [ssim(a, b) for a, b in zip(views.levels[:24], levels[first[:24]], strict=True)]
        apart[np.arange(len(rows)), rows] = np.nan
        whole = np.floor(apart[~np.isnan(apart)]).astype(np.int64)
        strangers += np.bincount(whole, minlength=len(strangers))
    return Edited(hits, float(np.mean(similarity)), np.concatenate(genuine), strangers, np.concatenate(decided))


def edited_table(results: dict[tuple[str, int], Edited]) -> Table:
    """Tabulate hit@1 of edited queries by edit."""
    groups = {
        "rotations": [edit for edit in DEEPHASH if "rotate" in edit],
        "centre crops": [edit for edit in DEEPHASH if "crop" in edit],
        "noise": [edit for edit in DEEPHASH if "noise" in edit],
        "flip": [edit for edit in DEEPHASH if "flip" in edit],
        "all": list(DEEPHASH),
    }
    rows = [
        [_NAMES.get(kind, OURS), str(bits), *(_pooled(edited.hits, edits) for edits in groups.values()),
         f"{edited.similarity:.2f}"]
        for (kind, bits), edited in results.items()
    ]  # fmt: skip
    return Table(["hash", "bits", *groups, "SSIM of what was found"], rows)


def _pooled(hits: dict[str, Cell], edits: list[str]) -> str:
    return Cell(sum(hits[edit].found for edit in edits), sum(hits[edit].all for edit in edits)).text


@dataclass(frozen=True)
class Decision:
    """Registered or not, by :func:`scores`.

    Attributes:
        threshold: the score below which a query counts as registered.
        fpr: measured share of unregistered queries below it; ``unedited``, ``edited``: of registered queries that
            lie below it and found their source.
    """

    threshold: float
    fpr: float
    unedited: float
    edited: float


def decide(edited: Distances, unedited: Distances, unregistered: Distances, most: float) -> Decision:
    """Return the threshold at which at most so large a share of unregistered queries counts as registered."""
    cut = float(np.sort(unregistered)[int(most * len(unregistered))])
    shares = (float((found < cut).mean()) for found in (unregistered, unedited, edited))
    return Decision(cut, *shares)


def pair_decision(edited: Edited, most: float) -> tuple[int, float, float]:
    """Return threshold in bits, measured rate of pairs of different pictures within it, and share of edited copies."""
    within = np.cumsum(edited.strangers) / edited.strangers.sum()
    allowed = np.flatnonzero(within <= most)
    cut = int(allowed[-1]) if len(allowed) else -1
    return cut, float(within[cut]) if cut >= 0 else 0.0, float((edited.genuine <= cut).mean())


def cifar_table() -> tuple[Table, float, dict[str, float]]:
    """Tabulate precision, recall and mAP on CIFAR-10 with the paper's queries and with disjoint ones; and ours."""
    nets = encoders("cifar")
    test = some_pictures(CIFAR, CIFAR_DATABASE, lambda name: name.startswith("test/"))
    asked = some_pictures(CIFAR, CIFAR_QUERIES, lambda name: name.endswith(".jpg"))
    names = [name for name, _ in test]
    inside = np.isin([name for name, _ in asked], names)
    database, queries = (views_of([pixels for _, pixels in part], 32) for part in (test, asked))
    labels, wanted = (np.array([name.split("/")[1] for name, _ in part]) for part in (test, asked))
    head = ["hash", "bits", "precision", "recall", "mAP", "disjoint: precision", "recall", "mAP"]
    rows, maps = [], {}
    for (kind, bits), encode in nets.items():
        apart = distances(encode(queries), encode(database))
        everything = _retrieval(apart, labels, wanted)
        disjoint = _retrieval(apart[~inside], labels, wanted[~inside])
        maps[f"{kind}-{bits}"] = disjoint[2]
        figures = [f"{value:.3f}" for value in (*everything, *disjoint)]
        rows.append([_NAMES.get(kind, OURS), str(bits), *figures])
    return Table(head, rows), float(inside.mean()), maps


def _retrieval(
    apart: Distances, labels: npt.NDArray[np.str_], wanted: npt.NDArray[np.str_]
) -> tuple[float, float, float]:
    """Return macro precision and recall of the nearest picture's class, and mAP over the whole ranking."""
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


# --- Plots ---


def plot_curves() -> bool:
    """Draw error and PSNR over the trainings on photographs; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplots(1, 2)
    for kind in KINDS:
        for bits in (16, 64):
            rows = history(kind, bits)
            for axis, name in zip(axes, ("tune_mse", "tune_psnr"), strict=True):
                epochs = range(1, len(rows) + 1)
                axis.plot(epochs, [getattr(row, name) for row in rows], marker=".", label=f"{_NAMES[kind]} {bits}")
    axes[0].set(xlabel="epoch", ylabel="MSE of tuning pictures, squared grey levels")
    axes[1].set(xlabel="epoch", ylabel="mean PSNR of tuning pictures, dB")
    axes[1].legend(fontsize=8, ncols=2)
    figure.savefig(FOLDER / "results" / "deephash_curves.png", dpi=90)
    return True


def plot_decisions(results: dict[tuple[str, int], tuple[Distances, Distances]]) -> bool:
    """Draw for each hash the share of edited registered queries against that of unregistered ones that count as
    registered; False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axis = figure.subplots()
    for (kind, bits), (genuine, unregistered) in results.items():
        cuts = np.sort(np.concatenate([genuine[np.isfinite(genuine)], unregistered]))
        true = np.searchsorted(np.sort(genuine), cuts, side="right") / len(genuine)
        false = np.searchsorted(np.sort(unregistered), cuts, side="right") / len(unregistered)
        axis.plot(np.maximum(false, 0.5 / len(unregistered)), true, label=f"{_NAMES.get(kind, 'ours')} {bits}")
    axis.set(xscale="log", xlabel="unregistered queries called registered", ylabel="edited registered queries found")
    axis.legend(fontsize=8)
    figure.savefig(FOLDER / "results" / "deephash_roc.png", dpi=90)
    return True


def plot_neighbours() -> bool:
    """Draw the feature vectors of CIFAR-10 test pictures on a plane (t-SNE: van der Maaten and Hinton 2008); False
    without scikit-learn or matplotlib."""
    try:
        from matplotlib.figure import Figure
        from sklearn.manifold import TSNE
    except ModuleNotFoundError:
        return False
    pictures = some_pictures(CIFAR, 1500, lambda name: name.startswith("test/"))
    views = views_of([pixels for _, pixels in pictures], 32)
    labels = np.array([name.split("/")[1] for name, _ in pictures])
    nets = {key: encode for key, encode in encoders("cifar").items() if key in (("con-vae", 64), ("ours", 64))}
    figure = Figure(figsize=(11, 5), layout="constrained")
    for axis, ((kind, bits), encode) in zip(figure.subplots(1, 2), nets.items(), strict=True):
        plane = TSNE(init="pca", random_state=0).fit_transform(encode(views).features)
        for label in np.unique(labels):
            axis.scatter(*plane[labels == label].T, s=5, label=label)
        axis.set(title=f"{_NAMES.get(kind, 'ours')}, {bits} numbers", xticks=[], yticks=[])
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", markerscale=3)
    figure.savefig(FOLDER / "results" / "deephash_tsne.png", dpi=90)
    return True


# --- All of it ---


def main() -> None:
    """Measure and publish."""
    began = time.monotonic()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    known = registry()
    views = Views(known.levels, known.squares)
    nets = encoders("photographs")
    database = {key: encode(views) for key, encode in nets.items()}
    print(f"{len(known.names):,} registered under {len(nets)} hashes, {time.monotonic() - began:.0f} s", flush=True)

    imagenet = some_pictures("imagenet_sample.tar", FREE_IMAGENET, lambda name: name.lower().endswith(".jpeg"))
    small = some_pictures(CIFAR, FREE_CIFAR, lambda name: name.startswith("train/"))
    free = views_of([pixels for _, pixels in (*imagenet, *small)])
    whole, hits = copyright_table(nets, database, free)
    print(whole.to_markdown(), flush=True)

    tested = np.flatnonzero([part_of(name.partition("/")[2]) == Part.TEST for name in known.names])
    rows = tested[np.linspace(0, len(tested) - 1, QUERIES).astype(int)]
    queries = edited_queries(rows)
    edited = {key: ask_edited(nets[key], database[key], queries, rows) for key in nets if key[1] in (64, 128)}
    print(edited_table(edited).to_markdown(), f"\n{time.monotonic() - began:.0f} s", flush=True)

    collided = {key: collisions(codes) for key, codes in database.items()}
    shared = same_code_pairs(database["ours", 64])
    distinct = [pair for pair in shared[:_LIMIT_OF_PAIRS] if not share_pixels(*(known.encoded[i] for i in pair))]
    ours_collisions = (len(distinct) + max(0, len(shared) - _LIMIT_OF_PAIRS)) / (
        len(known.names) * (len(known.names) - 1) / 2
    )

    asked = [("con-vae", 64), ("ours", 64)]
    open_set, decisions = {}, {}
    for key in asked:
        unregistered = scores(nets[key](free), database[key])[1]
        own = Codes(database[key].packed[tested], database[key].features[tested])
        first, least = scores(own, database[key])
        open_set[key] = (edited[key].scores, unregistered)
        decisions[key] = decide(edited[key].scores, np.where(first == tested, least, np.inf), unregistered, RATE)
    pairs = {key: pair_decision(edited[key], RATE) for key in asked}
    decided = Table(
        ["hash", "bits", "per query: threshold", "FPR", "TPR unedited", "TPR edited", "per pair: threshold in bits",
         "FPR", "TPR edited"],
        [
            [_NAMES.get(kind, OURS), str(bits), f"{d.threshold:.4g}", f"{d.fpr:.1e}", f"{d.unedited:.3f}",
             f"{d.edited:.3f}", str(p[0]), f"{p[1]:.1e}", f"{p[2]:.3f}"]
            for (kind, bits), d, p in zip(asked, decisions.values(), pairs.values(), strict=True)
        ],
    )  # fmt: skip
    print(decided.to_markdown(), f"\n{time.monotonic() - began:.0f} s", flush=True)

    cifar, inside, maps = cifar_table()
    print(cifar.to_markdown(), f"\n{time.monotonic() - began:.0f} s", flush=True)
    plots = "" if QUICK else _plots(open_set)

    def all_edits(key: tuple[str, int]) -> float:
        cells = edited[key].hits.values()
        return round(sum(cell.found for cell in cells) / sum(cell.all for cell in cells), 4)

    ours = ("ours", 64)
    figures: dict[str, Any] = {
        "database": len(known.names),
        "con_vae_hit1_16": round(hits["con-vae", 16], 4),
        "con_vae_hit1_64": round(hits["con-vae", 64], 4),
        "ours_hit1_64": round(hits[ours], 4),
        "ours_hit1_64_edited": all_edits(ours),
        "con_vae_hit1_64_edited": all_edits(("con-vae", 64)),
        "ours_tpr_at_fpr_1e4": round(decisions[ours].edited, 4),
        "collision_rate_64": float(f"{ours_collisions:.2g}"),
        "cifar_map_64_disjoint": round(maps["ours-64"], 4),
    }
    table = Table(
        ["hash", "bits", "pictures that share a code", "N minus distinct codes, of N", "pairs"],
        [
            [_NAMES.get(kind, OURS), str(bits), f"{a:.2%}", f"{b:.2%}", f"{c:.1e}"]
            for (kind, bits), (a, b, c) in collided.items()
        ],
    )
    markdown = f"""
{len(known.names):,} registered photographs (Flickr8k, Caltech 101; no two with the same grey levels), of which the
autoencoders learnt from half, as a registry's own hash would. Trained here at {SCALES["con-vae"]:g} of the paper's
widths (VTE {SCALES["vte"]:g}) for {EPOCHS["photographs"]["ae"]} epochs (VTE {EPOCHS["photographs"]["vte"]}; Con-VAE of
64 and 128 bits {SHIPPED_EPOCHS[64]} and {SHIPPED_EPOCHS[128]}), on CIFAR-10 for {EPOCHS["cifar"]["ae"]} (VTE
{EPOCHS["cifar"]["vte"]}) at 32 pixels a side; the paper has 2,000 epochs. On a GPU its sizes are
`python -m provenance.training.deephash con-vae 64 WORK --scale 1 --epochs 2000`.

**Registered pictures, unedited, and pictures that are not registered** ({SHOWN} of each for PSNR and SSIM, on grey
128 x 128). The paper reports PSNR and SSIM of what was found; hit@k says the same directly. "Identical" is the share
of queries that found themselves by the code alone; PSNR is of the others. The legacy column is the paper's PSNR, whose
differences overflow 8 bits and whose identical pictures count 100 dB: unrelated pictures come to 28 dB in it, and their
true PSNR is the one beside. Hit@k in per cent, over all registered pictures:

{whole.to_markdown()}

**Edited queries** ({QUERIES} test photographs under the paper's {len(DEEPHASH)} edits), hit@1 with ties broken by
features, per cent with 95 % intervals (Wilson):

{edited_table(edited).to_markdown()}

**Collisions** among the registered, by three definitions. Of the {len(shared)} pairs that share a code of ours,
{len(distinct)} are of pictures that do not share pixels. Even codes of 16 fair coins would have
{100 * (1 - (1 - 2**-16) ** (len(known.names) - 1)):.0f} % of this many pictures share one; the paper's 0.25 % of
40,000 cannot be.

{table.to_markdown()}

**Registered or not** as a decision. Per query (open set): the {NEIGHBOURS} nearest by code are looked up, and the least
squared difference of feature vectors among them lies below the threshold, set so that at most 1e-4 of
{len(free.levels):,} unregistered queries ({len(imagenet):,} of the ImageNet sample, {len(small):,} of CIFAR-10) count
as registered; a registered query counts as found if its source is the one. Per pair, by the code alone: one comparison
with one other registered picture, {edited[ours].strangers.sum():,} pairs.

{decided.to_markdown()}

**CIFAR-10**, as the paper asks (queries from all 60,000, {100 * inside:.0f} % of them in the database of
{CIFAR_DATABASE:,}, so that they find themselves) and with those left out ("disjoint"). Precision and recall (macro) are
of the class of the nearest picture, mAP is over the whole ranking:

{cifar.to_markdown()}
{plots}
"""
    publish(
        "deephash",
        title="Deep hashing: autoencoders and edits",
        markdown=markdown,
        figures=figures,
        details={
            "tables": {
                "copyright": asdict(whole), "edited": asdict(edited_table(edited)), "collisions": asdict(table),
                "decisions": asdict(decided), "cifar": asdict(cifar),
            },
            "seconds": round(time.monotonic() - began),
        },
    )  # fmt: skip


def _plots(open_set: dict[tuple[str, int], tuple[Distances, Distances]]) -> str:
    parts = []
    if plot_decisions(open_set):
        parts.append("![Registered or not](results/deephash_roc.png)")
    if plot_curves():
        parts.append("**While they learnt** (pictures that are not learnt from):\n\n"
                     "![Error and PSNR by epoch](results/deephash_curves.png)")  # fmt: skip
    if plot_neighbours():
        parts.append("**t-SNE** of feature vectors of CIFAR-10 test pictures, coloured by class:\n\n"
                     "![t-SNE](results/deephash_tsne.png)")  # fmt: skip
    return "\n" + "\n\n".join(parts) if parts else ""


if __name__ == "__main__":
    main()

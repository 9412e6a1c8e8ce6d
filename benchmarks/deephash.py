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
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.deephash_measures import (
    F64,
    NEIGHBOURS,
    Bools,
    Codes,
    Copies,
    Counts,
    Decision,
    PairDecision,
    Pairs,
    collisions,
    decide,
    decide_pairs,
    distances,
    distinct_rates,
    hit_by_code,
    likeness,
    nearest,
    retrieval,
    same_code_pairs,
)
from benchmarks.deephash_nets import (
    NAMES,
    OURS,
    SCALES,
    Encoder,
    Key,
    Views,
    encoders,
    epochs_of,
    registry,
    some_pictures,
    views_of,
)
from benchmarks.deephash_plots import plot_curves, plot_decisions, plot_neighbours
from benchmarks.hashing import Table
from benchmarks.results import QUICK, publish
from provenance.hashing.autoencoders import grey
from provenance.hashing.deephash import EDIT_HASH
from provenance.hashing.dinohash import squared
from provenance.images.decode import decode
from provenance.images.edits import DEEPHASH, apply
from provenance.images.quality import ssim
from provenance.training.deephash_pictures import CIFAR, SIDE, repeats, thumbnail
from provenance.training.impostor_curves import share_pixels
from provenance.training.pictures import Part, part_of

QUERIES = 8 if QUICK else 120
SHOWN = 12 if QUICK else 200
FREE_IMAGENET, FREE_CIFAR = (60, 60) if QUICK else (1000, 19_000)
CIFAR_DATABASE, CIFAR_QUERIES = (200, 60) if QUICK else (10_000, 1200)
RATE = 1e-4
CON_VAE: Key = ("con-vae", 64)
# So many found pictures of each edit are compared with their query.
_COMPARED = 24
_LIMIT_OF_PAIRS = 400

Rows = npt.NDArray[np.int64]


def edited_queries(rows: Rows) -> dict[str, Views]:
    """Return the registered pictures of these rows under each of the paper's edits."""
    sides = (SIDE, SIDE), (EDIT_HASH.side, EDIT_HASH.side, 3)
    found = {edit: Views(*(np.empty((len(rows), *side), np.uint8) for side in sides)) for edit in DEEPHASH}
    for at, row in enumerate(rows):
        pixels = decode(registry().encoded[row]).pixels
        for edit, views in found.items():
            changed = apply(edit, pixels, int(row))
            views.levels[at], views.squares[at] = grey(changed, SIDE), squared(changed, EDIT_HASH.side)
    return found


def copyright_table(
    nets: dict[Key, Encoder], database: dict[Key, Codes], free: Views
) -> tuple[Table, dict[Key, float]]:
    """Tabulate what unedited queries find, registered and not (``free``), and how alike it is; and hit@1 by the code
    alone."""
    head = ["hash", "bits", "epochs", "hit@1", "@3", "@5", "with features @1", "identical", "PSNR of the others",
            "SSIM", "legacy PSNR", "not registered: PSNR", "SSIM", "legacy PSNR"]  # fmt: skip
    rows, hits = [], {}
    random = np.random.Generator(np.random.PCG64(0))
    levels = registry().levels
    shown = np.linspace(0, len(levels) - 1, SHOWN).astype(int)
    for key, codes in database.items():
        by_code = [hit_by_code(codes, k) for k in (1, 3, 5)]
        hits[key] = by_code[0]
        apart = distances(codes.of(shown), codes)
        with_features = float((apart.argmin(1) == shown).mean())
        # By the code alone: one of the nearest, whichever.
        whole = np.floor(apart) + random.random(apart.shape)
        registered = likeness(levels[shown], levels[whole.argmin(1)])
        unregistered = likeness(free.levels, levels[distances(nets[key](free), codes).argmin(1)])
        rows.append([
            NAMES[key[0]], str(key[1]), epochs_of(key, "photographs"), *(f"{100 * hit:.2f}" for hit in by_code),
            f"{100 * with_features:.2f}", f"{100 * registered.identical:.1f} %",
            *(_figure(value) for one in (registered, unregistered) for value in (one.psnr, one.ssim, one.legacy)),
        ])  # fmt: skip
    return Table(head, rows), hits


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


@dataclass(frozen=True)
class Edited:
    """What edited queries found under one hash, pictures by edits.

    Attributes:
        found: which found their source first. similarity: mean SSIM of what was found first.
        genuine: bits from the source. strangers: of each picture's copies how many others are at each distance in bits.
        scores: of :func:`benchmarks.deephash_measures.nearest`; infinite where not the source was nearest.
    """

    found: Bools
    similarity: float
    genuine: Counts
    strangers: Counts
    scores: F64

    def of(self, edits: list[str]) -> Copies:
        """Return what was found under some edits."""
        return Copies(self.found[:, [edit in edits for edit in DEEPHASH]])


def ask_edited(encode: Encoder, codes: Codes, queries: dict[str, Views], rows: Rows) -> Edited:
    """Look every edited query up."""
    shape = (len(rows), len(queries))
    found, genuine, scores = np.empty(shape, bool), np.empty(shape, np.int64), np.empty(shape)
    strangers = np.zeros((len(rows), 8 * codes.packed.shape[1] + 1), np.int64)
    levels, similarity = registry().levels, []
    few = np.linspace(0, len(rows) - 1, min(_COMPARED, len(rows))).astype(int)
    for edit, views in enumerate(queries.values()):
        asked = encode(views)
        apart = distances(asked, codes)
        first = apart.argmin(1)
        best, least = nearest(asked, codes)
        found[:, edit] = first == rows
        genuine[:, edit] = apart[np.arange(len(rows)), rows]
        scores[:, edit] = np.where(best == rows, least, np.inf)
        similarity += [ssim(a, b) for a, b in zip(views.levels[few], levels[first[few]], strict=True)]
        for at, row in enumerate(rows):
            others = np.delete(apart[at], row).astype(np.int64)
            strangers[at] += np.bincount(others, minlength=strangers.shape[1])
    return Edited(found, float(np.mean(similarity)), genuine, strangers, scores)


def edited_table(results: dict[Key, Edited]) -> Table:
    """Tabulate hit@1 of edited queries by edit."""
    groups = {
        "rotations": [edit for edit in DEEPHASH if "rotate" in edit],
        "centre crops": [edit for edit in DEEPHASH if "crop" in edit],
        "noise": [edit for edit in DEEPHASH if "noise" in edit],
        "flip": [edit for edit in DEEPHASH if "flip" in edit],
        "all": list(DEEPHASH),
    }
    rows = [
        [NAMES[kind], str(bits), *(edited.of(edits).text for edits in groups.values()), f"{edited.similarity:.2f}"]
        for (kind, bits), edited in results.items()
    ]
    return Table(["hash", "bits", *groups, "SSIM of what was found"], rows)


def collision_table(database: dict[Key, Codes]) -> Table:
    """Tabulate the three rates of collision among the registered."""
    head = ["hash", "bits", "pictures that share a code", "N minus distinct codes, of N", "pairs"]
    rows = []
    for (kind, bits), codes in database.items():
        sharing, beyond, pairs = collisions(codes)
        rows.append([NAMES[kind], str(bits), f"{sharing:.2%}", f"{beyond:.2%}", f"{pairs:.1e}"])
    return Table(head, rows)


def distinct_collisions(codes: Codes) -> tuple[int, Pairs]:
    """Return how many pairs of registered pictures share a code, and those of them that are of different pictures;
    what is past :data:`_LIMIT_OF_PAIRS` counts as such."""
    shared = same_code_pairs(codes)
    looked, rest = shared[:_LIMIT_OF_PAIRS], shared[_LIMIT_OF_PAIRS:]
    return len(shared), [pair for pair in looked if not _same_picture(*pair)] + rest


def _same_picture(one: int, other: int) -> bool:
    known = registry()
    if repeats(thumbnail(known.levels[one]), thumbnail(known.levels[other])[None]).all():
        return True
    return share_pixels(known.encoded[one], known.encoded[other])


@dataclass(frozen=True)
class OpenSet:
    """Registered or not under one hash: the scores of edited copies and of unregistered queries that did not help to
    set the threshold, and both decisions."""

    edited: F64
    unregistered: F64
    by_query: Decision
    by_pair: PairDecision


def open_set(encode: Encoder, codes: Codes, edited: Edited, free: Views, tested: Rows) -> OpenSet:
    """Decide of edited, unedited and unregistered queries whether they are registered."""
    _, unregistered = nearest(encode(free), codes)
    first, least = nearest(codes.of(tested), codes)
    unedited = np.where(first == tested, least, np.inf)
    return OpenSet(
        edited.scores,
        unregistered[1::2],
        decide(edited.scores, unedited, unregistered, RATE),
        decide_pairs(edited.genuine, edited.strangers, RATE),
    )


def decision_table(results: dict[Key, OpenSet], imagenet: int) -> Table:
    """Tabulate thresholds and rates of error; the first ``imagenet`` unregistered queries of the ImageNet sample, which
    are of the registered's kind and size, apart too."""
    head = ["hash", "bits", "per query: threshold", "FPR", "at most", "of ImageNet", "TPR unedited", "TPR edited",
            "per pair: threshold in bits", "FPR", "TPR edited"]  # fmt: skip
    rows = [
        [NAMES[kind], str(bits), f"{one.by_query.threshold:.4g}", f"{one.by_query.fpr:.1e}",
         f"{one.by_query.bound:.1e}",
         f"{(one.unregistered[:imagenet] < one.by_query.threshold).sum()} of {len(one.unregistered[:imagenet])}",
         f"{one.by_query.unedited:.3f}", one.by_query.edited.text,
         str(one.by_pair.threshold), f"{one.by_pair.fpr:.1e}", one.by_pair.edited.text]
        for (kind, bits), one in results.items()
    ]  # fmt: skip
    return Table(head, rows)


def cifar_table() -> tuple[Table, float, dict[Key, float]]:
    """Tabulate precision, recall and mAP on CIFAR-10 with the paper's queries and with disjoint ones."""
    test = some_pictures(CIFAR, CIFAR_DATABASE, lambda name: name.startswith("test/"))
    asked = some_pictures(CIFAR, CIFAR_QUERIES, lambda name: name.endswith(".jpg"))
    names = [name for name, _ in test]
    inside = np.isin([name for name, _ in asked], names)
    database, queries = (views_of([pixels for _, pixels in part], 32) for part in (test, asked))
    labels, wanted = (np.array([name.split("/")[1] for name, _ in part]) for part in (test, asked))
    head = ["hash", "bits", "epochs", "precision", "recall", "mAP", "disjoint: precision", "recall", "mAP"]
    rows, maps = [], {}
    for key, encode in encoders("cifar").items():
        apart = distances(encode(queries), encode(database))
        everything, disjoint = (retrieval(apart[some], labels, wanted[some]) for some in (slice(None), ~inside))
        maps[key] = disjoint[2]
        figures = [f"{value:.3f}" for value in (*everything, *disjoint)]
        rows.append([NAMES[key[0]], str(key[1]), epochs_of(key, "cifar"), *figures])
    return Table(head, rows), float(inside.mean()), maps


def main() -> None:
    """Measure and publish."""
    began = time.monotonic()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))

    def show(table: Table) -> Table:
        print(table.to_markdown(), f"\n{time.monotonic() - began:.0f} s", flush=True)
        return table

    known = registry()
    views = Views(known.levels, known.squares)
    nets = encoders("photographs")
    database = {key: encode(views) for key, encode in nets.items()}
    print(f"{len(known.names):,} registered under {len(nets)} hashes, {time.monotonic() - began:.0f} s", flush=True)

    imagenet = some_pictures("imagenet_sample.tar", FREE_IMAGENET, lambda name: name.lower().endswith(".jpeg"))
    small = some_pictures(CIFAR, FREE_CIFAR, lambda name: name.startswith("train/"))
    free = views_of([pixels for _, pixels in (*imagenet, *small)])
    # Not the first: they lie in the order of their classes.
    some = np.linspace(0, len(imagenet) - 1, min(SHOWN, len(imagenet))).astype(int)
    whole, hits = copyright_table(nets, database, Views(free.levels[some], free.squares[some]))
    show(whole)

    tested = np.flatnonzero([part_of(name.partition("/")[2]) == Part.TEST for name in known.names])
    rows = tested[np.linspace(0, len(tested) - 1, QUERIES).astype(int)]
    queries = edited_queries(rows)
    edited = {key: ask_edited(nets[key], database[key], queries, rows) for key in nets}
    by_edit = show(edited_table(edited))

    collided = collision_table(database)
    shared, distinct = distinct_collisions(database[OURS])
    sharing, beyond, by_pair = distinct_rates(distinct, len(known.names))

    decided = {key: open_set(nets[key], database[key], edited[key], free, tested) for key in (CON_VAE, OURS)}
    # The half that did not help to set the threshold.
    decisions = show(decision_table(decided, len(imagenet) // 2))

    cifar, inside, maps = cifar_table()
    show(cifar)
    plots = "" if QUICK else _plots({key: (one.edited, one.unregistered) for key, one in decided.items()})
    all_edits = {key: round(edited[key].of(list(DEEPHASH)).share, 4) for key in (CON_VAE, OURS)}
    figures: dict[str, Any] = {
        "database": len(known.names),
        "con_vae_hit1_16": round(hits["con-vae", 16], 4),
        "con_vae_hit1_64": round(hits[CON_VAE], 4),
        "ours_hit1_64": round(hits[OURS], 4),
        "ours_hit1_64_edited": all_edits[OURS],
        "con_vae_hit1_64_edited": all_edits[CON_VAE],
        "ours_tpr_at_fpr_1e4": round(decided[OURS].by_query.edited.share, 4),
        "collision_rate_64": float(f"{beyond:.2g}"),
        "cifar_map_64_disjoint": round(maps[OURS], 4),
    }
    markdown = f"""
{len(known.names):,} registered photographs (Flickr8k, Caltech 101; no two with the same grey levels), of which the
autoencoders learnt from half, as a registry's own hash would; ours learnt from that half too, and began as a network
that had been taught the classes of ImageNet (EfficientNet-Lite0), while the four began with nothing and saw no labels.
Trained here at {SCALES["con-vae"]:g} of the paper's widths (VTE {SCALES["vte"]:g}), for CIFAR-10 at 32 pixels a side,
for so many epochs as the tables say; the paper has 2,000. On a GPU its sizes are
`python -m provenance.training.deephash con-vae 64 WORK --scale 1 --epochs 2000`.

**Registered pictures, unedited, and pictures that are not registered** ({SHOWN} of each, the latter of the ImageNet
sample, for PSNR and SSIM, on grey 128 x 128). The paper reports PSNR and SSIM of what was found; hit@k says the same
directly. "Identical" is the share of queries that found themselves by the code alone; PSNR is of the others. The legacy
column is the paper's PSNR, whose differences overflow 8 bits and whose identical pictures count 100 dB: unrelated
pictures come to 28 dB in it, and their true PSNR is the one beside. Hit@k in per cent, over all registered pictures:

{whole.to_markdown()}

**Edited queries** ({QUERIES} test photographs under the paper's {len(DEEPHASH)} edits), hit@1 with ties broken by
features, per cent with 95 % intervals (Wilson, with as many trials as the copies of one photograph, which are found or
lost together, are worth); SSIM is of {_COMPARED} of the photographs:

{by_edit.to_markdown()}

**Collisions** among the registered, by three definitions. Some registered pictures are there twice, saved or cut
anew: of the {shared} pairs that share a code of ours, {len(distinct)} are of different pictures (neither the same as
thumbnails nor found to share pixels). Of those alone the three rates are {sharing:.1e}, {beyond:.1e} (the paper's
definition and the key figure) and {by_pair:.1e}. Even codes of 16 fair coins would have
{100 * (1 - (1 - 2**-16) ** (len(known.names) - 1)):.0f} % of this many pictures share one; the paper's 0.25 % of
40,000 cannot be.

{collided.to_markdown()}

**Registered or not** as a decision. Per query (open set): the {NEIGHBOURS} nearest by code are looked up, and the least
squared difference of feature vectors among them lies below the threshold. It is set so that at most {RATE:g} of every
second of {len(free.levels):,} unregistered queries ({len(imagenet):,} of the ImageNet sample, {len(small):,} of
CIFAR-10) count as registered; the rate is of the others, with its one-sided 95 % bound (Clopper and Pearson), and "of
ImageNet" is of that sample's photographs among them: those of CIFAR-10 have 32 pixels a side. A registered query counts
as found if its source is the one. Per pair, by the code alone: one comparison with one other registered picture; the
threshold is of every second photograph's pairs, the rates are of the others'.

{decisions.to_markdown()}

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
                "copyright": asdict(whole), "edited": asdict(by_edit), "collisions": asdict(collided),
                "decisions": asdict(decisions), "cifar": asdict(cifar),
            },
            "seconds": round(time.monotonic() - began),
        },
    )  # fmt: skip


def _plots(scores: dict[Key, tuple[F64, F64]]) -> str:
    parts = []
    if plot_decisions(scores):
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

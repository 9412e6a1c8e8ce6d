"""Copy detection side by side: our hashes and others', on the same edited copies of the same photographs.

The registry is the test part of Flickr8k and Caltech 101 (``provenance.training.pictures.part_of``): nothing was
trained or tuned on it. Each query is an edited copy of a registered photograph, compared with every registered one as
each method's authors compare: one code or vector a picture. False positive rates are measured on the pairs of an
edited copy and a registered picture that it is no copy of; the binomial figure stands beside them, never in their
place. ``verified`` is what the site does: candidates within its radii, the nearest of them laid over the query.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import recall
from benchmarks.hash_peers import COSINE_STEPS, Peer, absent, peers
from benchmarks.recall import Cell
from benchmarks.results import FOLDER, QUICK, publish
from provenance.hashing.code import chance_fpr
from provenance.hashing.descriptor import DESCRIPTOR
from provenance.hashing.dinohash import squared
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import decode
from provenance.images.edits import DINOHASH_STACKS, THORN, apply
from provenance.matching.policy import POLICIES
from provenance.models.copy_net import HASH_SIDE, load_hash_net
from provenance.training.apgd import Attack, collide, evade
from provenance.training.pictures import Part, encoded_pictures, part_of

RATES = (1e-3, 1e-4, 1e-6)
PRECISION = 0.9999
QUERIES = 2 if QUICK else 90
REGISTRY = 60 if QUICK else 1500
ATTACKED, ATTACK_ITERATIONS = (2, 4) if QUICK else (24, 100)
THROUGHPUT = 16 if QUICK else 400
HOUSE = "dinohash-house-v1"
EDITS = (*DINOHASH_STACKS, *THORN)


@dataclass(frozen=True)
class Answer:
    """One edited copy: its distance to its source and to everything else, for every peer.

    Attributes:
        genuine: distance to the source.
        strangers: int64 ``[most + 1]``: how many registered pictures that it is no copy of lie at each distance.
        verified: registered pictures that the site's verification took for its source.
    """

    edit: str
    source: int
    genuine: dict[str, int]
    strangers: dict[str, npt.NDArray[np.int64]]
    verified: list[int]


@dataclass
class _State:
    """What the processes of the pool inherit."""

    files: list[tuple[str, bytes]]
    described: dict[str, npt.NDArray[Any]]
    kin: dict[int, set[int]]


_STATE = _State([], {}, {})


def test_photographs(count: int) -> list[tuple[str, bytes]]:
    """Return (name, file bytes) of ``count`` pictures of the test part, spread over both archives.

    Raises:
        DataMissing: the pictures are not there.
    """
    files = [
        (name, data)
        for archive in ("flickr8k.tar", "caltech101.tar")
        for name, data in encoded_pictures(archive, held_out=True)
        if part_of(name) == Part.TEST
    ]
    return [files[int(i * len(files) / count)] for i in range(count)]


def _describe(index: int) -> dict[str, npt.NDArray[Any]]:
    pixels = decode(_STATE.files[index][1]).pixels
    return {name: peer.describe(pixels) for name, peer in peers().items()}


def _ask(job: tuple[int, str]) -> Answer:
    source, edit = job
    edited = apply(edit, decode(_STATE.files[source][1]).pixels, source)
    others = np.ones(len(_STATE.files), dtype=bool)
    others[[source, *_STATE.kin.get(source, ())]] = False
    genuine, strangers = {}, {}
    for name, peer in peers().items():
        found = peer.distances(peer.describe(edited), _STATE.described[name])
        genuine[name] = int(found[source])
        strangers[name] = np.bincount(found[others], minlength=peer.most + 1)
    return Answer(edit, source, genuine, strangers, recall.look_up(edited)[1])


def ask_all() -> list[Answer]:
    """Describe the registry, then every query; prints which peers are missing."""
    for name, command in absent().items():
        print(f"{name} is not at hand and is left out: {command}")
    # The processes of the pools share the cores between them.
    torch.set_num_threads(1)
    _STATE.files = test_photographs(REGISTRY)
    _STATE.kin = recall.register(_STATE.files)
    fork = get_context("fork")
    with ProcessPoolExecutor(os.cpu_count(), fork) as pool:
        rows = list(pool.map(_describe, range(len(_STATE.files)), chunksize=32))
    _STATE.described = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    step = len(_STATE.files) / QUERIES
    jobs = [(int(i * step), edit) for i in range(QUERIES) for edit in EDITS]
    with ProcessPoolExecutor(os.cpu_count(), fork) as pool:
        return list(pool.map(_ask, jobs, chunksize=len(EDITS)))


def threshold_at(strangers: npt.NDArray[np.int64], rate: float) -> int:
    """Return the largest distance within which at most ``rate`` of the stranger pairs lie; -1 where there is none."""
    within = np.cumsum(strangers) <= rate * strangers.sum()
    return int(np.flatnonzero(within)[-1]) if within[0] else -1


def stack_table(answers: list[Answer]) -> tuple[str, dict[str, dict[str, float]]]:
    """Tabulate the paper's four stacks: bit agreement and TPR at measured FPR; and the means over the stacks."""
    lines = [
        "| method | stack | bits equal | TPR at FPR 1e-3 | 1e-4 | 1e-6 | threshold at 1e-6 | by the binomial |",
        "|---|---|---|---|---|---|---|---|",
    ]
    asked = [answer for answer in answers if answer.edit in DINOHASH_STACKS]
    means: dict[str, dict[str, float]] = {}
    for name, peer in peers().items():
        strangers = np.sum([answer.strangers[name] for answer in asked], axis=0)
        cuts = [threshold_at(strangers, rate) for rate in RATES]
        accuracy, found = [], []
        for stack in DINOHASH_STACKS:
            genuine = np.array([answer.genuine[name] for answer in asked if answer.edit == stack])
            cells = [Cell(int((genuine <= cut).sum()), len(genuine)) for cut in cuts]
            accuracy.append(1 - genuine.mean() / peer.most)
            found.append([cell.share for cell in cells])
            equal = f"{accuracy[-1]:.3f}" if peer.bits else "-"
            binomial = f"{chance_fpr(peer.bits, cuts[-1]):.1e}" if peer.bits else "-"
            lines.append(
                f"| {name} | {stack.removeprefix('dinohash_')} | {equal} | {' | '.join(c.text for c in cells)} |"
                f" {cuts[-1]} of {peer.most} | {binomial} |"
            )
        means[name] = {"bit_accuracy": float(np.mean(accuracy)), "tpr": float(np.mean(found, axis=0)[-1])}
    return "\n".join(lines), means


def precision_threshold(answers: list[Answer], peer: Peer) -> int:
    """Return the largest distance at which 99.99 % of all pairs within it, over all the answers, are true copies."""
    true = np.bincount([answer.genuine[peer.name] for answer in answers], minlength=peer.most + 1).cumsum()
    false = np.sum([answer.strangers[peer.name] for answer in answers], axis=0).cumsum()
    allowed = np.flatnonzero((true > 0) & (true >= PRECISION * (true + false)))
    return int(allowed[-1]) if allowed.size else -1


def thorn_table(answers: list[Answer]) -> tuple[str, dict[str, float]]:
    """Tabulate recall at 99.99 % precision over Thorn's list; and each column's recall over all edits together."""
    asked = [answer for answer in answers if answer.edit in THORN]
    cuts = {name: precision_threshold(asked, peer) for name, peer in peers().items()}
    columns = [*cuts, "verified"]
    lines = [f"| edit | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    overall: dict[str, float] = {}
    for edit in (*THORN, "together"):
        rows = [answer for answer in asked if edit in ("together", answer.edit)]
        cells = {name: Cell(sum(row.genuine[name] <= cut for row in rows), len(rows)) for name, cut in cuts.items()}
        cells["verified"] = Cell(sum(row.source in row.verified for row in rows), len(rows))
        lines.append(f"| {edit.removeprefix('thorn_')} | {' | '.join(cell.text for cell in cells.values())} |")
        overall = {name: cell.share for name, cell in cells.items()}
    return "\n".join(lines), overall


def draw_roc(answers: list[Answer]) -> bool:
    """Draw measured FPR against TPR over the four stacks into results/hashing_roc.png; False without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    asked = [answer for answer in answers if answer.edit in DINOHASH_STACKS]
    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name, peer in peers().items():
        genuine = np.bincount([answer.genuine[name] for answer in asked], minlength=peer.most + 1).cumsum()
        strangers = np.sum([answer.strangers[name] for answer in asked], axis=0)
        rate = strangers.cumsum() / strangers.sum()
        axes.step(rate, genuine / len(asked), where="post", label=name, linewidth=1.6)
    axes.set(
        xscale="log",
        xlim=(1e-6, 1),
        ylim=(0, 1.01),
        xlabel="false positive rate, measured",
        ylabel="true positive rate",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(FOLDER / "results" / "hashing_roc.png", dpi=120)
    return True


def attack_table() -> tuple[str, dict[str, float]]:
    """Attack the house hash with APGD on test pictures; tabulate what is left of it, and return bit agreement."""
    files = test_photographs(ATTACKED)
    squares = [squared(decode(data).pixels, HASH_SIDE) for _name, data in files]
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
    net = load_hash_net()
    policy = POLICIES[HOUSE]
    with torch.no_grad():
        others = (net(pixels.roll(1, 0).float() / 255)) >= 0
    lines = [
        "| attack | radius | bits as before | no candidate any more | bits as the target's | candidate of the target |",
        "|---|---|---|---|---|---|",
    ]
    agreement = {}
    for levels in (4, 8):
        attack = Attack(eps=levels / 255, iterations=ATTACK_ITERATIONS, restarts=2, normalised=True)
        evaded = evade(net, pixels, attack)
        collided = collide(net, pixels, others, attack)
        lost = (1 - evaded.agreement) * policy.length > policy.candidate_radius
        caught = (1 - collided.on_target) * policy.length <= policy.candidate_radius
        count = len(files)
        lines += [
            f"| evasion | {levels}/255 | {evaded.agreement.mean():.3f} | {Cell(int(lost.sum()), count).text} | - | - |",
            f"| collision | {levels}/255 | {collided.agreement.mean():.3f} | - | {collided.on_target.mean():.3f} |"
            f" {Cell(int(caught.sum()), count).text} |",
        ]
        agreement[str(levels)] = float(evaded.agreement.mean())
    return "\n".join(lines), agreement


def pictures_per_second() -> float:
    """Return how many pictures a second are decoded and get every hash and descriptor, a thread a core."""
    files = test_photographs(THROUGHPUT)
    torch.set_num_threads(1)
    for hasher in HASHERS.values():
        hasher.load()
    DESCRIPTOR.load()

    def ingest(data: bytes) -> None:
        pixels = decode(data).pixels
        for hasher in HASHERS.values():
            hasher.hash([pixels])
        DESCRIPTOR.describe_crops(pixels)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(ingest, [data for _name, data in files[:8]]))
        began = time.perf_counter()
        list(pool.map(ingest, [data for _name, data in files]))
        return len(files) / (time.perf_counter() - began)


def main() -> None:
    """Run the benchmark; see the module's text."""
    answers = ask_all()
    stacks, means = stack_table(answers)
    thorn, overall = thorn_table(answers)
    drawn = not QUICK and draw_roc(answers)
    pairs = int(np.sum([next(iter(answer.strangers.values())).sum() for answer in answers]))
    wrong = sum(
        found != answer.source and found not in _STATE.kin.get(answer.source, ())
        for answer in answers
        for found in answer.verified
    )
    screenshots = [answer for answer in answers if answer.edit in DINOHASH_STACKS]
    attacks, agreement = attack_table()
    rate = pictures_per_second()
    figures = {
        "bit_accuracy_screenshot_mean": round(means[HOUSE]["bit_accuracy"], 4),
        "tpr_screenshot_mean": round(sum(a.source in a.verified for a in screenshots) / len(screenshots), 4),
        "tpr_screenshot_mean_unverified": round(means[HOUSE]["tpr"], 4),
        "measured_fpr": wrong / pairs,
        "impostor_pairs": pairs,
        "recall_at_9999_all": round(overall["verified"], 4),
        "pdq_recall_at_9999_all": round(overall["pdq-v1"], 4),
        "neuralhash_tpr_screenshot_mean": round(means["NeuralHash"]["tpr"], 4) if "NeuralHash" in means else None,
        "apgd8_bit_accuracy": round(agreement["8"], 4),
        "images_per_s": round(rate, 1),
    }
    publish(
        "hashing",
        title="Copies found: hashes side by side",
        markdown=_markdown(stacks, thorn, attacks, pairs, wrong, drawn, rate),
        figures=figures,
        details={"means": means, "thorn_together": overall},
    )


def _markdown(stacks: str, thorn: str, attacks: str, pairs: int, wrong: int, drawn: bool, rate: float) -> str:
    missing = " ".join(f"{name} was not at hand." for name in absent())
    plot = "\n![Measured ROC](results/hashing_roc.png)\n" if drawn else ""
    return f"""
{QUERIES} test photographs, {len(EDITS)} edits each, among {len(_STATE.files):,} registered; {pairs:,} pairs of
different pictures. Per cent with 95 % intervals (Wilson); distances of SSCD are {COSINE_STEPS // 2:,} (1 - cosine).
Verification took {wrong} of those pairs for copies. {missing}

**The DinoHash paper's four stacks** (crop to 60 %, JPEG 30, one filter, an erased square, letters). A curve has a
quarter of those pairs: fewer than a million, so that "1e-6" allows none of them:

{stacks}
{plot}
**Thorn's list**, recall at 99.99 % precision with one threshold for all edits; `verified` is the site's answer, for
which there is no threshold to choose:

{thorn}

**Attacks** on the hash through its gradients (APGD, {ATTACK_ITERATIONS} iterations, 2 restarts, {ATTACKED} test
pictures at {HASH_SIDE} px, measured after rounding to 8 bits):

{attacks}

**Ingest**: {rate:.1f} pictures a second are decoded and get every hash and descriptor, a thread a core.
"""


if __name__ == "__main__":
    main()

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
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks import hash_identity, recall, scan
from benchmarks.hash_peers import COSINE_STEPS, Peer, absent, peers
from benchmarks.recall import Cell
from benchmarks.results import FOLDER, QUICK, publish
from provenance.hashing.code import chance_fpr
from provenance.hashing.descriptor import DESCRIPTOR
from provenance.hashing.dinohash import squared
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import decode
from provenance.images.edits import DINOHASH_STACKS, THORN, apply
from provenance.matching.policy import DESCRIPTOR_CANDIDATE_RATE, MOST_VERIFIED, POLICIES, upper_bound
from provenance.matching.verify import VERSION
from provenance.models.copy_net import PLAIN_HASH, ROBUST_HASH, load_hash_net
from provenance.training.apgd import Attack, collide, evade

RATES = (1e-3, 1e-4, 1e-6)
_RATE_NAMES = tuple(f"tpr_at_{rate:g}" for rate in RATES)
PRECISION = 0.9999
QUERIES = 1 if QUICK else 40
REGISTRY = 30 if QUICK else 1700
ATTACKED, ATTACK_ITERATIONS = (1, 3) if QUICK else (12, 100)
THROUGHPUT = 12 if QUICK else 400
PLAIN, HOUSE = "dinohash-house-v1", "dinohash-house-v2"
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
    _STATE.files = recall.photographs(REGISTRY)
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


@dataclass(frozen=True)
class Table:
    """What stands in RESULTS.md and on the site's accuracy page."""

    head: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def stack_table(answers: list[Answer]) -> tuple[Table, dict[str, dict[str, float]]]:
    """Tabulate the paper's four stacks: bit agreement and TPR at measured FPR; and the means over the stacks, TPR at
    each of :data:`RATES`."""
    head = ["method", "stack", "bits equal", "TPR at FPR 1e-3", "1e-4", "1e-6", "threshold at 1e-6", "by the binomial"]
    rows = []
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
            binomial = f"{chance_fpr(peer.bits, cuts[-1]):.1e}" if peer.bits and cuts[-1] >= 0 else "-"
            found_cells = [cell.text for cell in cells]
            threshold = f"{cuts[-1]} of {peer.most}" if cuts[-1] >= 0 else "none"
            rows.append([name, stack.removeprefix("dinohash_"), equal, *found_cells, threshold, binomial])
        means[name] = {
            "bit_accuracy": float(np.mean(accuracy)),
            **dict(zip(_RATE_NAMES, np.mean(found, axis=0).tolist(), strict=True)),
        }
    return Table(head, rows), means


def precision_threshold(answers: list[Answer], peer: Peer) -> int:
    """Return the largest distance at which 99.99 % of all pairs within it, over all the answers, are true copies."""
    true = np.bincount([answer.genuine[peer.name] for answer in answers], minlength=peer.most + 1).cumsum()
    false = np.sum([answer.strangers[peer.name] for answer in answers], axis=0).cumsum()
    allowed = np.flatnonzero((true > 0) & (true >= PRECISION * (true + false)))
    return int(allowed[-1]) if allowed.size else -1


def thorn_table(answers: list[Answer]) -> tuple[Table, dict[str, float]]:
    """Tabulate recall at 99.99 % precision over Thorn's list; and each column's recall over all edits together."""
    asked = [answer for answer in answers if answer.edit in THORN]
    cuts = {name: precision_threshold(asked, peer) for name, peer in peers().items()}
    rows = []
    overall: dict[str, float] = {}
    for edit in (*THORN, "together"):
        some = [answer for answer in asked if edit in ("together", answer.edit)]
        cells = {name: Cell(sum(row.genuine[name] <= cut for row in some), len(some)) for name, cut in cuts.items()}
        cells["verified"] = Cell(sum(row.source in row.verified for row in some), len(some))
        rows.append([edit.removeprefix("thorn_"), *(cell.text for cell in cells.values())])
        overall = {name: cell.share for name, cell in cells.items()}
    return Table(["edit", *cuts, "verified"], rows), overall


def draw_roc(answers: list[Answer]) -> bool:
    """Draw measured FPR against TPR over the four stacks into results/hashing_roc.png; False without matplotlib."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    asked = [answer for answer in answers if answer.edit in DINOHASH_STACKS]
    figure, axes = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
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
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(FOLDER / "results" / "hashing_roc.png", dpi=120)
    return True


def attack_table() -> tuple[str, dict[str, dict[str, float]]]:
    """Attack our hashes with APGD on test pictures, the plain one and the robust one side by side.

    Returns:
        A table; and for each algorithm and radius in levels the mean share of bits that evasion leaves, and the share
        of pictures that are no candidates any more.
    """
    files = recall.photographs(ATTACKED)
    lines = [
        "| hash | attack | radius | bits as before | no candidate any more | bits as the target's |"
        " candidate of the target |",
        "|---|---|---|---|---|---|---|",
    ]
    figures: dict[str, dict[str, float]] = {}
    for algorithm, config in ((PLAIN, PLAIN_HASH), (HOUSE, ROBUST_HASH)):
        squares = [squared(decode(data).pixels, config.side) for _name, data in files]
        pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).contiguous()
        net = load_hash_net(config)
        policy = POLICIES[algorithm]
        with torch.no_grad():
            others = net(pixels.roll(1, 0).float() / 255) >= 0
        for levels in (4, 8):
            attack = Attack(eps=levels / 255, iterations=ATTACK_ITERATIONS, restarts=2, normalised=True)
            evaded = evade(net, pixels, attack)
            collided = collide(net, pixels, others, attack)
            lost = (1 - evaded.agreement) * policy.length > policy.candidate_radius
            caught = (1 - collided.on_target) * policy.length <= policy.candidate_radius
            count = len(files)
            lines += [
                f"| {algorithm} | evasion | {levels}/255 | {evaded.agreement.mean():.3f} |"
                f" {Cell(int(lost.sum()), count).text} | - | - |",
                f"| {algorithm} | collision | {levels}/255 | {collided.agreement.mean():.3f} | - |"
                f" {collided.on_target.mean():.3f} | {Cell(int(caught.sum()), count).text} |",
            ]
            figures.setdefault(algorithm, {}).update(
                {f"bits_{levels}": float(evaded.agreement.mean()), f"evaded_{levels}": float(lost.float().mean())}
            )
    return "\n".join(lines), figures


def pictures_per_second() -> float:
    """Return how many pictures a second are decoded and get every hash and descriptor, a thread a core."""
    files = recall.photographs(THROUGHPUT)
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
    wrong = [
        (_STATE.files[answer.source][0], _STATE.files[found][0], answer.edit)
        for answer in answers
        for found in answer.verified
        if found != answer.source and found not in _STATE.kin.get(answer.source, ())
    ]
    torch.set_num_threads(os.cpu_count() or 1)
    attacks, attacked = attack_table()
    identity, profiles, equal = hash_identity.measure()
    floor, ms = scan.ours(1_000_000)
    rate = pictures_per_second()
    by_stack = {
        stack: Cell(sum(a.source in a.verified for a in answers if a.edit == stack), QUERIES)
        for stack in DINOHASH_STACKS
    }
    at_once = Cell(sum(a.source in a.verified for a in answers if a.edit == "thorn_all"), QUERIES)
    neuralhash = means.get("NeuralHash")
    figures = {
        "bit_accuracy_screenshot_mean": round(means[HOUSE]["bit_accuracy"], 4),
        "bit_accuracy_screenshot_mean_plain": round(means[PLAIN]["bit_accuracy"], 4),
        "tpr_screenshot_mean": round(float(np.mean([cell.share for cell in by_stack.values()])), 4),
        "tpr_screenshot_mean_unverified": round(means[HOUSE][_RATE_NAMES[-1]], 4),
        "measured_fpr": len(wrong) / pairs,
        "measured_fpr_bound": upper_bound(len(wrong), pairs),
        "impostor_pairs": pairs,
        "impostor_pairs_distinct": pairs // len(EDITS),
        "recall_at_9999_all": round(overall["verified"], 4),
        "recall_all_edits_at_once": round(at_once.share, 4),
        "pdq_recall_at_9999_all": round(overall["pdq-v1"], 4),
        "neuralhash_tpr_screenshot_mean": round(neuralhash[_RATE_NAMES[-1]], 4) if neuralhash else None,
        "apgd8_bit_accuracy": round(attacked[HOUSE]["bits_8"], 4),
        "apgd8_bit_accuracy_plain": round(attacked[PLAIN]["bits_8"], 4),
        "apgd8_evaded": round(attacked[HOUSE]["evaded_8"], 4),
        "scan_1m_ms": round(ms, 3),
        "bandwidth_floor_1m_ms": round(floor, 3),
        "profiles_equal": f"{equal} of {profiles}",
        "images_per_s": round(rate, 1),
    }
    publish(
        "hashing",
        title="Copies found: hashes side by side",
        markdown=_markdown(stacks, thorn, attacks, identity, by_stack, pairs, wrong, drawn, rate),
        figures=figures,
        details={
            "verification": VERSION,
            "queries": QUERIES,
            "registry": len(_STATE.files),
            "verified_by_stack": {stack: cell.text for stack, cell in by_stack.items()},
            "stacks": asdict(stacks),
            "thorn": asdict(thorn),
            "means": means,
            "thorn_together": overall,
            "attacks": attacked,
            "false_verified": wrong,
        },
    )


def _markdown(
    stacks: Table,
    thorn: Table,
    attacks: str,
    identity: str,
    by_stack: dict[str, Cell],
    pairs: int,
    wrong: list[tuple[str, str, str]],
    drawn: bool,
    rate: float,
) -> str:
    missing = " ".join(f"{name} was not at hand." for name in absent())
    plot = "\n![Measured ROC](results/hashing_roc.png)\n" if drawn else ""
    verified = ", ".join(f"{stack.removeprefix('dinohash_')} {cell.text}" for stack, cell in by_stack.items())
    taken = "" if not wrong else " They are: " + "; ".join(f"{a} for {b} ({edit})" for a, b, edit in wrong) + "."
    return f"""
{QUERIES} test photographs, {len(EDITS)} edits each, among {len(_STATE.files):,} registered; {pairs:,} pairs of
different pictures. Per cent with 95 % intervals (Wilson); distances of SSCD are {COSINE_STEPS // 2:,} (1 - cosine).
{missing}

**Verified**, that is what the site answers, on the DinoHash paper's four stacks (crop to 60 %, JPEG 30, one filter, an
erased square, letters): {verified}. Of all those pairs of different pictures verification took {len(wrong)} for
copies.{taken} The 95 % bound on that rate is {upper_bound(len(wrong), pairs):.1e} if every pair counts, and
{upper_bound(len({w[:2] for w in wrong}), pairs // len(EDITS)):.1e} if edits of one picture are no new pairs. That is in
a registry of {len(_STATE.files):,}: of a larger one the {MOST_VERIFIED} nearest are compared too, so that a copy must
rank among more look-alikes ({1e5 * DESCRIPTOR_CANDIDATE_RATE:,.0f} of 100,000 lie within the descriptor's radius).

**Each method alone** on these stacks. A curve has a quarter of the pairs: where they are fewer than a million, "1e-6"
allows none of them:

{stacks.to_markdown()}
{plot}
**Thorn's list**, recall at 99.99 % precision with one threshold for all edits, chosen on these answers; `verified` is
the site's answer, for which there is no threshold to choose; `together` pools the rows, `all` is every edit at once:

{thorn.to_markdown()}

**Attacks** through the gradients of our hashes (APGD, {ATTACK_ITERATIONS} iterations, 2 restarts, {ATTACKED} test
pictures at the network's own {PLAIN_HASH.side} and {ROBUST_HASH.side} px, measured after rounding to 8 bits):

{attacks}

**Bits under thread counts and instruction sets**, on one machine: the learnt hash of {hash_identity.PICTURES} test
photographs, one at a time and eight at once, under what may be forced upon the kernels:

{identity}

**Ingest**: {rate:.1f} pictures a second are decoded and get every hash and descriptor, a thread a core.
"""


if __name__ == "__main__":
    main()

"""The published adversarial signature measured on test pictures, in the shape of its paper's tables.

    python -m benchmarks.signature_paper WORK STAGE2

``WORK`` is the folder that ``python -m provenance.training.paper_signature WORK`` filled, ``STAGE2`` that of
``python -m provenance.training.secured_generator STAGE2 KIND --signature WORK/n1.safetensors``. Only what is there is
measured; of the rest the commands are given. Pictures are of the test part, never trained on; thresholds are set on
tuning pictures. Signed pictures are rounded to 8 bits, as plain ones are, before anything looks at them; PSNR is
computed in float64.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from platformdirs import user_cache_path
from scipy.stats import binomtest
from torch.nn import functional

from benchmarks.results import QUICK, publish
from provenance.artwork.tiers import load_text_image
from provenance.detection.calibration import auc
from provenance.images.decode import decode, encode_jpeg
from provenance.images.quality import is_identical, psnr
from provenance.matching.policy import upper_bound
from provenance.models.errors import ModelError, ModelMissing
from provenance.models.paper_signature_nets import UNet
from provenance.models.text_image import SIDE as TOWER_SIDE
from provenance.training import secured_generator
from provenance.training.artwork_pictures import held_out_photographs
from provenance.training.paper_signature import RUNS, pooled_psnr, with_noise
from provenance.training.pictures import DataMissing, Part
from provenance.training.secured_makers import Recipe
from provenance.training.signature_pictures import Squares, drawn, of_size
from provenance.training.signature_views import blurred, rotated
from provenance.watermark import paper

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]

PICTURES = 128 if QUICK else 1000
MADE = 64 if QUICK else 256
FALSE_POSITIVES = 0.01
# Of the draws of windows, of noise and of generators: none is a seed of training.
_SEED = 90_001
_KID_SUBSETS, _KID_SIZE = 50, 100
_TEXT = """
Injector and detector as published (U-Net, ResNet-34) at a size that a processor trains in half an hour, on windows of
{side} pixels, where a bit has a fraction of the pixels that it has in the paper's 256: it reports 51.4 dB and 100 %
after 120,000 steps of 24 pictures on a GPU (`--size paper`). All runs begin with the injector of `weight-0`; where two
have other steps, that too is between them. Another processor rounds otherwise, and a run ends elsewhere: `n1` by about
1 dB and 1 %. {pictures:,} test pictures; Wilson intervals of 95 %.

{tables}

{left}
"""


@dataclass(frozen=True)
class Share:
    """``right`` of ``all``, and the 95 % interval of Wilson (1927)."""

    right: int
    all: int

    @property
    def told(self) -> dict[str, Any]:
        """What goes into the results."""
        interval = binomtest(self.right, self.all).proportion_ci(method="wilson")
        share = self.right / self.all
        return {"share": share, "low": float(interval.low), "high": float(interval.high), "of": self.all}


def detected(signed: F64, plain: F64, tuning: F64, code: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Measure a detector from logits ``[N, bits]`` of signed and plain test pictures and of plain tuning ones.

    Args:
        code: of each signed picture, bool ``[N, bits]``.

    Returns:
        ``accuracy``: share of bits right at 0, of signed and plain pictures, as the paper counts; ``exact``: share of
        signed pictures with the whole code right; ``auc`` of the largest logit; ``tpr``: share of signed pictures above
        the threshold that 1 % of the tuning pictures exceed; ``fpr``: of the plain test pictures, with the bound of
        Clopper and Pearson.
    """
    right = int(((signed > 0) == code).sum() + (plain <= 0).sum())
    scores, others = signed.max(1), plain.max(1)
    threshold = float(np.quantile(tuning.max(1), 1 - FALSE_POSITIVES))
    false = int((others > threshold).sum())
    return {
        "accuracy": Share(right, signed.size + plain.size).told,
        "exact": Share(int(((signed > 0) == code).all(1).sum()), len(signed)).told,
        "auc": auc(scores, others),
        "tpr": Share(int((scores > threshold).sum()), len(scores)).told,
        "fpr": {**Share(false, len(others)).told, "bound": upper_bound(false, len(others))},
    }


def likeness(signed: U8, plain: U8) -> dict[str, Any]:
    """Compare uint8 ``[N, S, S, 3]``: mean PSNR of those that differ, how many do not, PSNR of the mean error, and how
    many levels were changed."""
    pairs = list(zip(signed, plain, strict=True))
    ratios = [psnr(one, other) for one, other in pairs if not is_identical(one, other)]
    half = 1.96 * float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios)) if len(ratios) > 1 else math.nan
    return {
        "psnr_db": float(np.mean(ratios)) if ratios else None,
        "psnr_interval": [float(np.mean(ratios)) - half, float(np.mean(ratios)) + half] if len(ratios) > 1 else None,
        "pooled_psnr_db": pooled_psnr(signed, plain),
        "identical": len(pairs) - len(ratios),
        "changed_levels": float((signed != plain).mean()),
    }


EDITS: dict[str, Callable[[U8], U8]] = {
    "blur": lambda x: paper.to_pictures(blurred(paper.to_pixels(x), 1.0)),
    "flip": lambda x: np.ascontiguousarray(x[:, :, ::-1]),
    "rotation": lambda x: paper.to_pictures(rotated(paper.to_pixels(x), 30)),
    "jpeg 95": lambda x: _jpeg(x, 95),
    "jpeg 50": lambda x: _jpeg(x, 50),
    "half size": lambda x: _half(x),
    "noise .03": lambda x: with_noise(x, 0.06, _SEED),
}
"""The paper's table 7, at the ends of what it trains with, and what it does not train with."""


def _jpeg(pictures: U8, quality: int) -> U8:
    return np.stack([decode(encode_jpeg(one, quality)).pixels for one in pictures])


def _half(pictures: U8) -> U8:
    side = pictures.shape[1]
    small = [cv2.resize(one, (side // 2, side // 2), interpolation=cv2.INTER_AREA) for one in pictures]
    return np.stack([cv2.resize(one, (side, side), interpolation=cv2.INTER_CUBIC) for one in small]).astype(np.uint8)


@dataclass(frozen=True)
class Set:
    """Test and tuning pictures, uint8 ``[N, S, S, 3]`` each."""

    test: U8
    tuning: U8

    @classmethod
    def of(cls, sources: list[Squares], side: int, count: int = PICTURES) -> Set:
        """Draw pictures of both parts."""
        random = np.random.default_rng(_SEED)
        return cls(drawn(sources, Part.TEST, count, side, random), drawn(sources, Part.TUNE, count, side, random))


def signed_by(injector: UNet, pictures: U8, noise: float = 0.0) -> tuple[U8, npt.NDArray[np.bool_]]:
    """Sign pictures with all codes in turn; return them with their codes, bool ``[N, bits]``."""
    codes = paper.codes(injector.bits)
    given = with_noise(pictures, noise, _SEED)
    out, told = np.empty_like(pictures), np.empty((len(pictures), injector.bits), bool)
    for number, code in enumerate(codes):
        out[number :: len(codes)] = paper.sign(injector, given[number :: len(codes)], code)
        told[number :: len(codes)] = code
    return out, told


def stage_one(work: Path, pictures: Set, *, edits: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Measure the injectors and detectors in a folder: the paper's tables 1, 2, 6 and 7, and the left of 9.

    Args:
        edits: names of :data:`EDITS`, after which ``n1`` and ``n2`` are read too.

    Returns:
        By run: its recipe and steps, :func:`likeness`, :func:`detected`, and ``edits``, :func:`detected` by name.
    """
    found = {}
    for run in RUNS:
        path = work / f"{run}.safetensors"
        if run.startswith("restore-") or not path.exists():
            continue
        injector, detector, recipe = paper.load_injector(path), paper.load_detector(path), _recipe(path)
        signed, code = signed_by(injector, pictures.test, recipe["noise"])
        tuning = paper.read(detector, pictures.tuning)
        row = {
            "weight": recipe["weight"],
            "bits": injector.bits,
            "steps": recipe["steps"],
            **likeness(signed, pictures.test),
            **detected(paper.read(detector, signed), paper.read(detector, pictures.test), tuning, code),
            "curve": paper.training_of(path)["history"],
        }
        if run in ("n1", "n2"):
            row["edits"] = {
                name: detected(
                    paper.read(detector, EDITS[name](signed)),
                    paper.read(detector, EDITS[name](pictures.test)),
                    paper.read(detector, EDITS[name](pictures.tuning)),
                    code,
                )
                for name in edits
            }
        found[run] = row
    return found


def restoration(work: Path, pictures: Set) -> dict[str, dict[str, Any]]:
    """Measure what the attackers' networks in a folder leave of signatures: the right of the paper's table 9.

    Returns:
        By attacked run: ``restored``, :func:`likeness` to the plain picture, and :func:`detected` of what they leave.
    """
    found = {}
    for run in RUNS:
        path = work / f"restore-{run}.safetensors"
        if not path.exists():
            continue
        attacked = work / f"{run}.safetensors"
        victim, detector = paper.load_injector(attacked), paper.load_detector(attacked)
        signed, code = signed_by(victim, pictures.test, _recipe(attacked)["noise"])
        left = paper.restored(paper.load_injector(path), signed)
        logits = [paper.read(detector, some) for some in (left, pictures.test, pictures.tuning)]
        found[run] = {
            "steps": _recipe(path)["steps"],
            "signed": likeness(signed, pictures.test),
            "restored": likeness(left, pictures.test),
            **detected(logits[0], logits[1], logits[2], code),
        }
    return found


def stage_two(folder: Path, signature: Path, size: str, cache: Path) -> dict[str, dict[str, Any]]:
    """Measure the secured generators in a folder: the paper's tables 3 and 4, with controls.

    Returns:
        By kind and phase, such as ``gan-secured``: share of made pictures that the detector reads as signed with the
        code, AUC against test pictures and against what the control made, kernel distance to test pictures, and of an
        autoencoder the PSNR to the pictures it was given; of ``survival`` also the share by steps.
    """
    detector, injector = paper.load_detector(signature), paper.load_injector(signature)
    side, found = paper.PROFILES[size].side, {}
    for kind in secured_generator.KINDS:
        phases = [phase for phase in secured_generator.PHASES if _phase_there(folder, kind, phase)]
        if not phases:
            continue
        sources = secured_generator.sources_of(kind, size, None, cache)
        plain = drawn([_unseen(source) for source in sources], Part.TEST, MADE, side, np.random.default_rng(_SEED))
        real = paper.read(detector, plain)[:, 0]
        scores: dict[str, F64] = {}
        for phase in phases:
            path = folder / f"{kind}-{phase}.safetensors"
            recipe = secured_generator.recipe_of(kind, phase, size, paper.codes(injector.bits)[0])
            if path.exists():
                recipe = Recipe(**_whole(_recipe(path)))
            securing = secured_generator.Securing(recipe, injector, detector)
            if path.exists():
                securing.begin_with(path)
            made = securing.make(plain, _SEED)
            logits = paper.read(detector, made)
            right = ((logits > 0) == np.array(recipe.code, bool)).all(1)
            scores[phase] = logits.max(1)
            distance, spread = kernel_distance(made, plain)
            row = {
                "steps": recipe.steps,
                "xi": recipe.xi if phase == "secured" else 0.0,
                "signed": Share(int(right.sum()), len(right)).told,
                "auc_to_real": auc(scores[phase], real),
                "kid": distance,
                "kid_deviation": spread,
            }
            if kind == "vqgan":
                row["psnr_db"] = likeness(made, plain)["psnr_db"]
            if phase == "survival":
                row["curve"] = json.loads(path.with_suffix(".json").read_text())["history"]
            found[f"{kind}-{phase}"] = row
        if "secured" in scores and "control" in scores:
            found[f"{kind}-secured"]["auc_to_control"] = auc(scores["secured"], scores["control"])
    return found


def kernel_distance(made: U8, real: U8) -> tuple[float, float]:
    """Return the kernel distance of Binkowski et al., "Demystifying MMD GANs" (2018), times 1,000: unbiased, with its
    cubic kernel, over features of the shipped image tower instead of Inception's; mean and deviation over subsets.

    Fit for few pictures, and comparable with nothing but itself.
    """
    tower = load_text_image()[0]
    features = []
    for pictures in (made, real):
        with torch.inference_mode():
            parts = [
                tower(functional.interpolate(paper.to_pixels(part), (TOWER_SIDE, TOWER_SIDE), mode="bilinear"))
                for part in np.array_split(pictures, -(-len(pictures) // 32))
            ]
        features.append(torch.cat(parts).double().numpy())
    random, values = np.random.default_rng(0), []
    size = min(_KID_SIZE, len(made), len(real))
    for _ in range(_KID_SUBSETS):
        x, y = (each[random.choice(len(each), size, replace=False)] for each in features)
        scale = x.shape[1]
        xx, yy, xy = ((a @ b.T / scale + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
        off = size * (size - 1)
        values.append((xx.sum() - np.trace(xx)) / off + (yy.sum() - np.trace(yy)) / off - 2 * xy.mean())
    return 1000 * float(np.mean(values)), 1000 * float(np.std(values))


def missing(work: Path, stage2: Path, size: str) -> list[str]:
    """Return the commands that make what is not there, in their order."""
    runs = [run for run in RUNS if not (work / f"{run}.safetensors").exists()]
    found = [f"python -m provenance.training.paper_signature {work} {' '.join(runs)} --size {size}"] if runs else []
    for kind in secured_generator.KINDS:
        phases = [
            phase for phase in secured_generator.PHASES if not (stage2 / f"{kind}-{phase}.safetensors").exists()
        ]
        if kind == "vqgan" and "base" in phases:
            phases.remove("base")
        if phases:
            found.append(
                f"python -m provenance.training.secured_generator {stage2} {kind} --phases {' '.join(phases)}"
                f" --signature {work / 'n1.safetensors'} --size {size}"
            )
    return found


def tables(results: dict[str, Any]) -> str:
    """Return the results as Markdown tables."""
    lines = ["| run | lambda | bits | steps | PSNR, dB | levels changed | accuracy, % | AUC | TPR at 1 % FPR, % |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for run, row in results["stage_one"].items():
        ratio = "none differs" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"
        lines.append(
            f"| {run} | {row['weight']:g} | {row['bits']} | {row['steps']:,} | {ratio} |"
            f" {100 * row['changed_levels']:.0f} % | {_percent(row['accuracy'])} | {row['auc']:.4f} |"
            f" {_percent(row['tpr'])} |"
        )
    edited = {run: row["edits"] for run, row in results["stage_one"].items() if row.get("edits")}
    if edited:
        lines += ["", f"| accuracy after, % | {' | '.join(edited)} |", "|---|" + "---|" * len(edited)]
        lines += [
            f"| {name} | {' | '.join(_percent(by_edit[name]['accuracy']) for by_edit in edited.values())} |"
            for name in next(iter(edited.values()))
        ]
    if results["restoration"]:
        lines += ["", "| attacked | signed, dB | restored, dB | accuracy of F(M(W(x))), % | AUC |"]
        lines.append("|---|---|---|---|---|")
        lines += [
            f"| {run} | {_decibels(row['signed'])} | {_decibels(row['restored'])} | {_percent(row['accuracy'])} |"
            f" {row['auc']:.4f} |"
            for run, row in results["restoration"].items()
        ]
    if results["stage_two"]:
        lines += ["", "| generator | steps | xi | read as signed, % | AUC to real | kernel distance | PSNR, dB |"]
        lines.append("|---|---|---|---|---|---|---|")
        lines += [
            f"| {name} | {row['steps']:,} | {row['xi']:g} | {_percent(row['signed'])} | {row['auc_to_real']:.4f} |"
            f" {row['kid']:.2f} ± {row['kid_deviation']:.2f} | {_decibels(row) if 'psnr_db' in row else ''} |"
            for name, row in results["stage_two"].items()
        ]
    return "\n".join(lines)


def _percent(share: dict[str, Any]) -> str:
    return f"{100 * share['share']:.1f} ({100 * share['low']:.1f}-{100 * share['high']:.1f})"


def _decibels(row: dict[str, Any]) -> str:
    return "none differs" if row["psnr_db"] is None else f"{row['psnr_db']:.1f}"


def _recipe(path: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = paper.training_of(path)["recipe"]
    return recipe


def _whole(recipe: dict[str, Any]) -> dict[str, Any]:
    return {**recipe, "code": tuple(recipe["code"])}


def _phase_there(folder: Path, kind: str, phase: str) -> bool:
    shipped = kind == "vqgan" and phase == "base"
    return (folder / f"{kind}-{phase}.safetensors").exists() or (
        shipped and (folder / f"{kind}-secured.safetensors").exists()
    )


def _unseen(source: Squares) -> Squares:
    """Leave of the photographs those that the shipped VQGAN was not trained on either."""
    if any(name.startswith("test/") for name in source.names[:1]):
        return source
    unseen = {name.rpartition("/")[2] for name in held_out_photographs().names}
    rows = [row for row in source.of(Part.TEST) if source.names[row].rpartition("/")[2] in unseen]
    return Squares([source.names[row] for row in rows], source.pixels[rows])


def measure(work: Path, stage2: Path, size: str) -> dict[str, Any]:
    """Measure all that is there; ``missing`` has the commands for the rest.

    Raises:
        DataMissing: the pictures are not there.
        ModelMissing: there is no signature at all; the message names the command.
    """
    left = missing(work, stage2, size)
    signature = work / "n1.safetensors"
    if not signature.exists():
        raise ModelMissing(f"{signature} is not there. Train it first: {left[0]}", name="n1", command=left[0])
    cache = work / "pictures"
    pictures = Set.of(of_size(size, None, cache), paper.PROFILES[size].side)
    return {
        "size": size,
        "pictures": len(pictures.test),
        "stage_one": stage_one(work, pictures, edits=tuple(EDITS)),
        "restoration": restoration(work, pictures),
        "stage_two": stage_two(stage2, signature, size, cache),
        "missing": left,
    }


def main() -> None:
    """Measure what is there and name the commands for the rest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("PROVENANCE_PAPER_SIGNATURE", "") or user_cache_path("provenance") / "paper-signature")
    parser.add_argument("work", type=Path, nargs="?", default=cache, help="of stage one")
    parser.add_argument("stage2", type=Path, nargs="?", help="of stage two; by default WORK/stage2")
    parser.add_argument("--size", choices=list(paper.PROFILES), default="small")
    arguments = parser.parse_args()
    stage2 = arguments.stage2 or arguments.work / "stage2"
    try:
        results = measure(arguments.work, stage2, arguments.size)
    except (DataMissing, ModelError) as problem:
        parser.exit(2, f"{problem}\n")
    # The longer path first: one may lie in the other.
    names = sorted({stage2: "STAGE2", arguments.work: "WORK"}.items(), key=lambda each: -len(str(each[0])))
    for path, name in names:
        results["missing"] = [command.replace(str(path), name) for command in results["missing"]]
    run = results["stage_one"]["n1"]
    left = "\n".join(f"- `{command}`" for command in results["missing"])
    publish(
        "signature_paper",
        title="The published adversarial signature, trained here",
        markdown=_TEXT.format(
            side=paper.PROFILES[arguments.size].side, pictures=results["pictures"], tables=tables(results),
            left=f"Not trained, so not measured; made by:\n\n{left}" if left else "",
        ),
        figures={
            "faithful_psnr_db": round(run["psnr_db"], 2),
            "faithful_accuracy": round(run["accuracy"]["share"], 4),
            "pictures": results["pictures"],
        },
        details=results,
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""What ``benchmarks.detector`` tries beside the protocol: other edits, regenerated photographs, mere words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from rich.progress import track

from benchmarks.detector_judged import Judged, protocol_file
from benchmarks.detector_measures import F64, band_rows
from benchmarks.results import QUICK
from provenance.artwork.tiers import load_text_image
from provenance.detection.calibration import auc
from provenance.detection.detector import Band, Detector
from provenance.images.decode import decode
from provenance.training.detector import edited, mean_features
from provenance.training.detector_pictures import PHOTOGRAPHS, RGB, native, with_one_history
from provenance.training.regenerated import autoencoders

CONDITIONS = {
    "jpeg": "JPEG 50 to 85",
    "screenshot": "screenshot",
    "plain": "nothing more done",
    "native": "files as the site gets them, without the common history",
}
# Pictures of each source under the other conditions; among what autoencoders give back.
CONDITIONED, REGENERATED = (3, 2) if QUICK else (60, 30)
BOOTSTRAPS = 50 if QUICK else 500
_PROMPTS = ("a photograph", "a digital painting made by a computer")


def conditions(
    detector: Detector, judged: dict[str, Judged], people: list[str], generators: list[str]
) -> tuple[dict[str, dict[str, float]], list[dict[str, Any]]]:
    """Return the AUC of each generator under each condition, and what is answered of native files."""
    found: dict[str, dict[str, float]] = {}
    features: dict[str, npt.NDArray[np.float32]] = {}
    some = {source: held[spread(len(held))] for source in (*people, *generators) for held in [judged[source].held]}
    for edit in CONDITIONS:
        for source, chosen in some.items():
            shown = (
                native(sample) if edit == "native" else edited(sample.pixels, edit, sample.name)
                for sample in track(chosen, f"{edit}: {source}", disable=QUICK)
            )
            features[source] = np.array([mean_features(detector.tower, pixels) for pixels in shown])
        real = np.concatenate([features[source] for source in people])
        found[edit] = {
            name: auc(detector.lines[name].margins(features[name]), detector.lines[name].margins(real))
            for name in generators
        }
    # The last condition is that of native files.
    files = {source: len({one.sha256 for one in chosen}) for source, chosen in some.items()}
    return found, band_rows(detector.lines, features, files, people, generators)


def regenerated(detector: Detector, judged: dict[str, Judged]) -> dict[str, dict[str, float]]:
    """Judge photographs that went through an autoencoder beside the same photographs that did not."""
    line = detector.lines["all"]
    sample = next(judged[source].held[:REGENERATED] for source in PHOTOGRAPHS if source in judged)
    found = {}

    def margins_of(name: str, net: Callable[[RGB], RGB]) -> F64:
        # Both of a pair are saved once more.
        pixels = [with_one_history(net(one.pixels), "", squeezed=True) for one in track(sample, name, disable=QUICK)]
        return line.margins(np.array([mean_features(detector.tower, one) for one in pixels]))

    before = margins_of("as they are", lambda pixels: pixels)
    for name, net in autoencoders().items():
        margins = margins_of(name, net)
        random = np.random.default_rng(0)
        drawn = [random.integers(len(sample), size=len(sample)) for _ in range(BOOTSTRAPS)]
        low, high = map(float, np.quantile([auc(margins[one], before[one]) for one in drawn], [0.025, 0.975]))
        likely = sum(line.band(float(margin)) == Band.LIKELY_AI for margin in margins)
        found[name] = {
            "auc": auc(margins, before),
            "low": low,
            "high": high,
            "likely_ai": likely,
            "pictures": len(margins),
        }
    return found


def zero_shot(judged: dict[str, Judged], people: list[str], generators: list[str]) -> dict[str, float]:
    """Ask the shipped text-image model in words instead, as the paper's ablation does; AUC of each generator."""
    image, text = load_text_image()
    with torch.no_grad():
        words = torch.nn.functional.normalize(text(*text.tokens(list(_PROMPTS))))
        scores = {}
        for source in (*people, *generators):
            held = judged[source].held
            small = [decode(protocol_file(one.pixels, one.name)).pixels for one in held[spread(len(held))]]
            squares = np.stack([np.asarray(Image.fromarray(one).resize((96, 96))) for one in small])
            x = (torch.from_numpy(squares).permute(0, 3, 1, 2).float() - 127) / 128
            likeness = torch.nn.functional.normalize(image(x)) @ words.T
            scores[source] = (likeness[:, 1] - likeness[:, 0]).double().numpy()
    real = np.concatenate([scores[source] for source in people])
    return {name: auc(scores[name], real) for name in generators}


def spread(count: int) -> slice:
    """Return which of so many pictures are tried: :data:`CONDITIONED`, evenly spread."""
    step = max(1, count // CONDITIONED)
    return slice(0, step * CONDITIONED, step)

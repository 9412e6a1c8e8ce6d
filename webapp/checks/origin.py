"""The step that asks whether a picture was made by AI. It says nothing of registration, and never decides a verdict."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.detection.detector import DETECTOR, Band, Detection, heat_map
from provenance.images.decode import encode_jpeg, thumbnail
from provenance.models.errors import ModelError
from webapp import files
from webapp.checks.context import Context, EvidenceDraft
from webapp.checks.models import EvidenceKind, Outcome
from webapp.checks.renditions import RGB
from webapp.checks.storage import heat_key
from webapp.files import Area

log = logging.getLogger(__name__)

NOT_AT_HAND = "not-at-hand"
_HEAT_SIDE = 800
_HEAT_COLOUR = (214, 94, 0)
_MOST_OPAQUE = 0.6
# So much above the picture's own margin, colour is full: the same for all pictures, or each would have an orange part.
_FULL = 1.0


class JudgeOrigin:
    """Judges whether AI made the picture, and where it probably did paints which parts speak most for that."""

    key = "origin"
    label = gettext_lazy("Asking whether AI made it")

    def examine(self, context: Context) -> list[EvidenceDraft]:
        """See :class:`webapp.checks.context.Examiner`."""
        pixels = context.picture.pixels
        try:
            DETECTOR.load()
        except ModelError as problem:
            # What it says names files of this machine, and evidence may be public.
            log.warning("no detector of AI pictures: %s", problem)
            sentence = _("The detector of AI pictures is not at hand. Whoever runs this site finds why in its log.")
            figures = {"band": str(Band.CANNOT_TELL), "probability": None, "reason": NOT_AT_HAND}
            return [_draft(sentence, figures, NOT_AT_HAND)]
        detection = DETECTOR.detect(pixels)
        context.algorithms["made by AI"] = DETECTOR.version
        if detection.band == Band.LIKELY_AI:
            heat = encode_jpeg(paint_heat(pixels, detection), quality=85)
            with context.fenced() as check:
                files.write(Area.DERIVED, heat_key(check.pk), heat)
        return [_draft(_sentence(detection), _figures(detection), DETECTOR.version)]


def paint_heat(pixels: RGB, detection: Detection) -> RGB:
    """Return the picture, at most 800 a side, in grey, with colour where its parts speak more for AI than all of it:
    the same colour is the same difference in every picture."""
    small = thumbnail(pixels, _HEAT_SIDE)
    height, width, _channels = small.shape
    heat = np.maximum(heat_map(detection, height, width), 0)
    heat = cv2.GaussianBlur(heat, (0, 0), max(height, width) / 24)
    opacity = _MOST_OPAQUE * np.minimum(heat / _FULL, 1)[..., None]
    grey = np.repeat(small.mean(2, keepdims=True), 3, 2)
    return np.asarray(np.rint(grey * (1 - opacity) + np.array(_HEAT_COLOUR) * opacity), np.uint8)


def _draft(summary: str, data: dict[str, Any], version: str) -> EvidenceDraft:
    return EvidenceDraft(
        kind=EvidenceKind.ORIGIN, outcome=Outcome.NEUTRAL, summary=summary[:400], data=data, version=version
    )


def _sentence(detection: Detection) -> str:
    if detection.reason == "small":
        return _("This picture is too small to tell whether AI made it.")
    if detection.reason == "long":
        return _("This picture is too long and narrow to tell whether AI made it.")
    if detection.reason == "plain":
        return _("This picture is too plain to tell whether AI made it.")
    sentences = {
        Band.LIKELY_AI: _("It looks like pictures that AI made. By itself that is no ground to accuse anybody."),
        Band.LIKELY_NOT_AI: _(
            "It does not look like the pictures by AI that this was trained on. Another generator may have made it."
        ),
        Band.CANNOT_TELL: _("Whether AI made this picture cannot be told from how it looks."),
    }
    return sentences[detection.band]


def _figures(detection: Detection) -> dict[str, Any]:
    """Return what the evidence rests on; places are parts of the picture's width and height."""
    figures: dict[str, Any] = {"band": str(detection.band), "probability": None}
    if detection.reason is not None:
        return {**figures, "reason": detection.reason}
    about, line = DETECTOR.about, DETECTOR.lines["all"]
    assert detection.margin is not None
    crops = []
    for crop in detection.crops:
        place = {side: round(value, 4) for side, value in asdict(crop.box).items()}
        # Probabilities are calibrated on whole pictures only.
        crops.append({**place, "margin": round(crop.margin, 4)})
    if detection.probability is not None:
        # Nothing is certain.
        figures["probability"] = round(min(max(detection.probability, 0.0001), 0.9999), 4)
    return {
        **figures,
        "margin": round(detection.margin, 4),
        "margin_thresholds": {"likely_ai": round(line.ai_from, 4), "likely_not_ai": round(line.not_to, 4)},
        # What was asked of pictures by AI holds for no generator but those of the calibration.
        "asked_error": {kind: error for kind, error in about["errors"].items() if kind != "made"},
        "measured": about["measured"],
        "features": about["tower"],
        "generators": about["generators"],
        "crops": crops,
    }

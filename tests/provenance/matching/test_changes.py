"""What was done to a copy is named; a plain copy has nothing done to it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from skimage import data

from provenance.images.align import align
from provenance.images.decode import decode
from provenance.images.edits import apply
from provenance.matching.changes import Change, changes

SAMPLE = Path(__file__).parents[3] / "sample"


@cache
def photograph(name: str) -> npt.NDArray[np.uint8]:
    return decode((SAMPLE / f"{name}.jpg").read_bytes()).pixels


def named(query: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8]) -> list[Change]:
    found = align(query, reference)
    assert found is not None
    return changes(query, reference, found)


@pytest.mark.parametrize("name", ["astronaut", "aitzgorri"])
@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ("social", []),
        ("stable_signature_jpeg_80", []),
        ("crop30", [Change.CROPPED]),
        ("rotate90", [Change.ROTATED]),
        ("flip", [Change.MIRRORED]),
        ("grayscale", [Change.GREYSCALE]),
        ("filter_warm", [Change.RECOLOURED]),
        ("thorn_gamma2", [Change.RECOLOURED]),
        ("stable_signature_text", [Change.DRAWN_OVER]),
        ("border", [Change.FRAMED]),
        ("thorn_pad0.2", [Change.FRAMED]),
        ("thorn_noise0.2", [Change.NOISY]),
        ("deephash_noise_20", [Change.NOISY]),
        ("paste_into", [Change.PASTED, Change.REDUCED]),
        ("thorn_resize0.5", [Change.REDUCED]),
        ("thorn_rotate4", [Change.ROTATED, Change.CROPPED]),
    ],
)
def test_each_edit_has_its_name(name: str, edit: str, expected: list[Change]) -> None:
    original = photograph(name)
    assert named(apply(edit, original, 3), original) == expected


def test_a_plain_copy_was_not_changed() -> None:
    original = photograph("astronaut")
    assert named(original, original) == []


def test_several_at_once() -> None:
    original = photograph("astronaut")
    edited = apply("filter_warm", apply("crop30", apply("flip", original, 1), 2), 3)
    assert named(edited, original) == [Change.MIRRORED, Change.CROPPED, Change.RECOLOURED]


def test_a_blur_is_no_drawing() -> None:
    picture = data.coffee()
    copy = cv2.GaussianBlur(picture, (0, 0), 3)
    found = align(copy, picture)
    assert found is not None
    assert changes(copy, picture, found) == [Change.BLURRED]

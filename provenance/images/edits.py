"""Named, seeded edits: what happens to pictures on their way through the world, the same in every benchmark.

`apply("screenshot", pixels, seed=7)` gives the same pixels for the same name, pixels and seed with the same
versions of Pillow, OpenCV and numpy. `PRESETS` holds every edit; the tuples of names below group them by source.
Text is drawn in Pillow's own font (Aileron), so that a preset needs no font of the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from numpy.random import PCG64, Generator
from PIL import Image

from provenance.images import edit_steps as step

RGB = npt.NDArray[np.uint8]
Step = Callable[[RGB, Generator], RGB]

_DINOHASH = "DinoHash benchmark, arXiv 2503.11195 section 4.2 and its published code"
_THORN = "image benchmark of Thorn's `perception`, docs/examples/benchmarking"
_STABLE = "Stable Signature, Fernandez et al., ICCV 2023, and its published evaluation code"
_DEEPHASH = "Yang et al., deep hashing for copyright images, J.UCS 2023, section 4.3"
_GENWM = "universal adversarial signature, arXiv 2305.16310, data augmentation and its published code"
_DETECTOR = "DinoHash's detector, arXiv 2503.11195, training and test transformations"
_SITE = "chosen here: what people do to pictures they repost"


@dataclass(frozen=True)
class Edit:
    """One named edit: its steps in order, what they do with their parameters, and where those come from."""

    name: str
    text: str
    source: str
    steps: tuple[Step, ...]

    def __call__(self, pixels: RGB, rng: Generator) -> RGB:
        """Edit pixels [H,W,3] uint8; the input stays as it is."""
        for run in self.steps:
            pixels = run(pixels, rng)
        return pixels


def apply(name: str, pixels: RGB, seed: int) -> RGB:
    """Apply the preset `name` to pixels [H,W,3] uint8 sRGB; returns a new [H',W',3] uint8.

    All chance comes from PCG64(seed), made for this call. Raises KeyError for a name not in `PRESETS` and
    ValueError for pixels of another shape or type.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or pixels.size == 0:
        raise ValueError(f"expected [H,W,3] uint8 pixels, got {pixels.dtype} {pixels.shape}")
    edited = PRESETS[name](pixels, Generator(PCG64(seed)))
    return edited if edited.flags.writeable and edited is not pixels else edited.copy()


def _dinohash(name: str, text: str, middle: Step) -> Edit:
    steps = (
        partial(step.crop_centre, keep=0.6),
        partial(step.jpeg, quality=30),
        middle,
        partial(step.erase, share=0.2),
        partial(step.random_letters, count=10, size=20),
    )
    stack = f"centre 60 % of each side, JPEG 30, {text}, grey square of 20 % of the short side, 10 letters of 20 px"
    return Edit(f"dinohash_{name}", stack, _DINOHASH, steps)


_dinohash_stacks = (
    _dinohash("blur", "Gaussian blur of radius 2", partial(step.gaussian_blur, radius=2)),
    _dinohash("brightness", "brightness x U(0.7, 1.3)", partial(step.enhance, what="brightness", low=0.7, high=1.3)),
    _dinohash("contrast", "contrast x U(0.7, 1.3)", partial(step.enhance, what="contrast", low=0.7, high=1.3)),
    _dinohash("median", "median 3x3", partial(step.median, size=3)),
)

_thorn_parts: tuple[tuple[str, str, Step], ...] = (
    ("blur2", "Gaussian blur of sigma 2", partial(step.gaussian_blur, radius=2)),
    # imgaug's "compression 95" is quality 1 + 99 * (1 - 95 / 101), rounded: a very hard JPEG, not quality 95.
    ("jpeg95", "JPEG at compression 95 of 100, that is quality 7", partial(step.jpeg, quality=7)),
    ("gamma2", "gamma 2 (darkens)", partial(step.gamma, exponent=2)),
    ("vignette", "times a Gaussian of half the height and width", step.vignette),
    ("resize0.5", "both sides halved", partial(step.resize_by, low=0.5)),
    (
        "text",
        "TEST at lower left, 20 % of the width, black, opacity 200/255",
        partial(step.stamp_text, text="TEST", share_width=0.2, opacity=200 / 255),
    ),
    ("noise0.2", "Gaussian noise of sigma 51 grey levels, same in all channels", partial(step.noise, sigma=51)),
    ("rotate4", "4 degrees clockwise, size kept, black corners", partial(step.rotate, degrees=-4)),
    ("crop0.05", "5 % off each of the four sides", partial(step.crop_centre, keep=0.9)),
    ("pad0.2", "black bars of 20 % of the height above and below", partial(step.pad, rows=0.2, columns=0)),
    ("flip", "mirrored left and right", step.flip),
)
_thorn = (
    *(Edit(f"thorn_{name}", text, _THORN, (run,)) for name, text, run in _thorn_parts),
    Edit("thorn_all", "all of Thorn's edits, one after the other in the order listed", _THORN,
         tuple(run for _, _, run in _thorn_parts)),
)  # fmt: skip


def _factor(what: str, factor: float) -> Edit:
    run = partial(step.enhance, what=what, low=factor)
    return Edit(f"stable_signature_{what}_{factor:g}", f"{what} x {factor:g}", _STABLE, (run,))


def _stable(name: str, text: str, *steps: Step) -> Edit:
    return Edit(f"stable_signature_{name}", text, _STABLE, steps)


_stable_signature = (
    _stable("crop_0.5", "centre with half of the area", partial(step.crop_area, keep=0.5)),
    _stable("crop_0.1", "centre with a tenth of the area", partial(step.crop_area, keep=0.1)),
    _stable("rotate_25", "25 degrees counterclockwise, size kept", partial(step.rotate, degrees=25)),
    _stable("rotate_90", "90 degrees counterclockwise, size kept: the ends of the long side are lost",
            partial(step.rotate, degrees=90)),
    _stable("jpeg_80", "JPEG 80", partial(step.jpeg, quality=80)),
    _stable("jpeg_50", "JPEG 50", partial(step.jpeg, quality=50)),
    *(_factor(what, f) for what in ("brightness", "contrast", "saturation", "sharpness") for f in (1.5, 2)),
    _stable("resize_0.5", "half of the area", partial(step.resize_by, low=0.5**0.5)),
    _stable("resize_0.1", "a tenth of the area", partial(step.resize_by, low=0.1**0.5)),
    _stable("text", "Lorem Ipsum in black over the middle, letters of 15 % of the height",
            partial(step.overlay_text, text="Lorem Ipsum", share_height=0.15)),
    _stable("comb", "centre with half of the area, brightness x 1.5, JPEG 80",
            partial(step.crop_area, keep=0.5), partial(step.enhance, what="brightness", low=1.5),
            partial(step.jpeg, quality=80)),
)  # fmt: skip

_deephash = (
    *(Edit(f"deephash_rotate_{d:+d}", f"{d} degrees counterclockwise, size kept", _DEEPHASH,
           (partial(step.rotate, degrees=d),)) for d in (-15, -10, -5, 5, 10, 15)),
    *(Edit(f"deephash_crop_{p}", f"centre {p} % of each side, scaled back", _DEEPHASH,
           (partial(step.restore_size, keep=p / 100),)) for p in (80, 85, 90, 95)),
    *(Edit(f"deephash_noise_{s}", f"Gaussian noise of sigma {s} grey levels (the paper gives no strength)", _DEEPHASH,
           (partial(step.noise, sigma=s),)) for s in (5, 10, 15, 20)),
    Edit("deephash_flip", "mirrored left and right", _DEEPHASH, (step.flip,)),
)  # fmt: skip

_genwm_rotate = partial(step.rotate_random, most=30, fill=128)
_genwm_blur = partial(step.gaussian_blur_5x5, sigmas=tuple(float(s) for s in np.linspace(0.01, 1, 10)))
_genwm = (
    Edit("genwm_rotate", "whole degrees from -30..30, nearest neighbour, grey corners", _GENWM, (_genwm_rotate,)),
    Edit("genwm_blur", "Gaussian blur 5x5, sigma one of ten in 0.01..1", _GENWM, (_genwm_blur,)),
    Edit("genwm_flip", "mirrored left and right", _GENWM, (step.flip,)),
    Edit("genwm_all", "rotation, blur, then a mirror with probability a half", _GENWM,
         (_genwm_rotate, _genwm_blur, partial(step.flip, probability=0.5))),
)  # fmt: skip

_detector = (
    Edit("detector", "random crop of U(0.625, 1) of both sides, 200x200 bicubic, JPEG 85..100", _DETECTOR,
         (partial(step.crop_random, low=0.625, high=1.0),
          partial(step.resize_to, width=200, height=200, filter=Image.Resampling.BICUBIC),
          partial(step.jpeg, quality=85, up_to=100))),
)  # fmt: skip

_site = (
    Edit("screenshot", "scaled by U(0.5, 0.9), phone bars of 3 % above and 2 % below, JPEG 85", _SITE,
         (partial(step.resize_by, low=0.5, high=0.9), partial(step.phone_bars, top=0.03, bottom=0.02),
          partial(step.jpeg, quality=85))),
    Edit("social", "longest side at most 1080, JPEG 75", _SITE,
         (partial(step.limit_side, side=1080), partial(step.jpeg, quality=75))),
    Edit("crop10", "a random rectangle of 90 % of both sides", _SITE, (partial(step.crop_random, low=0.9),)),
    Edit("crop30", "a random rectangle of 70 % of both sides", _SITE, (partial(step.crop_random, low=0.7),)),
    Edit("rotate90", "90 degrees clockwise, nothing lost", _SITE, (step.quarter_turn,)),
    Edit("flip", "mirrored left and right", _SITE, (step.flip,)),
    Edit("grayscale", "Rec. 601 luma", _SITE, (step.greyscale,)),
    Edit("filter_warm", "saturation x 1.25, contrast x 1.1, red x 1.1, green x 1.02, blue x 0.82", _SITE,
         (partial(step.enhance, what="saturation", low=1.25), partial(step.enhance, what="contrast", low=1.1),
          partial(step.channel_gains, gains=(1.1, 1.02, 0.82)))),
    Edit("meme_text", "two outlined white lines of up to 12 % of the height, JPEG 85", _SITE,
         (partial(step.caption, share_height=0.12), partial(step.jpeg, quality=85))),
    Edit("border", "a border of one random colour, 6 % of each side", _SITE,
         (partial(step.pad, rows=0.06, columns=0.06, colour=None),)),
    Edit("paste_into", "at U(0.45, 0.65) of each side anywhere in a made-up scene of the same size, JPEG 85", _SITE,
         (partial(step.paste_into_scene, low=0.45, high=0.65), partial(step.jpeg, quality=85))),
)  # fmt: skip


def _names(edits: Iterable[Edit]) -> tuple[str, ...]:
    return tuple(edit.name for edit in edits)


DINOHASH_STACKS = _names(_dinohash_stacks)
THORN = _names(_thorn)
STABLE_SIGNATURE = _names(_stable_signature)
DEEPHASH = _names(_deephash)
GENWM = _names(_genwm)
DETECTOR = _names(_detector)
SITE = _names(_site)
PRESETS: dict[str, Edit] = {
    edit.name: edit
    for edit in (*_dinohash_stacks, *_thorn, *_stable_signature, *_deephash, *_genwm, *_detector, *_site)
}

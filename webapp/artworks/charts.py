"""Histograms drawn as SVG paths, so that they show without scripts and under a policy that forbids inline styles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.utils.translation import gettext as _

from provenance.images.quality import histograms

RGB = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 256, 100


@dataclass(frozen=True)
class Chart:
    """A histogram of each of two pictures, in one drawing of ``WIDTH`` by ``HEIGHT``.

    Attributes:
        name: of the channel, for programs; ``label`` is for people.
        registered, made: what an SVG path says of each; the first is closed, to be filled, the second a line.
        overlap: how much of the two histograms is common, 0 to 1 (histogram intersection, Swain and Ballard 1991).
    """

    name: str
    label: str
    registered: str
    made: str
    overlap: float

    @property
    def percent(self) -> int:
        """The common part in per cent."""
        return round(100 * self.overlap)


def charts_of(registered: RGB, made: RGB) -> list[Chart]:
    """Return the charts of grey (Rec. 601 luma) and of each channel of two pictures [H,W,3]."""
    names = (("grey", _("Grey")), ("red", _("Red")), ("green", _("Green")), ("blue", _("Blue")))
    one, other = _shares(registered), _shares(made)
    charts = []
    for (name, label), first, second in zip(names, one, other, strict=True):
        # The tallest bar of the two fills the drawing, unless one level stands out so far that it hides the others.
        top = float(max(np.quantile(np.concatenate([first, second]), 0.995), 1e-9))
        charts.append(
            Chart(
                name=name,
                label=label,
                registered=f"M0 {HEIGHT} {_line(first, top, 'L')} L{WIDTH} {HEIGHT} Z",
                made=_line(second, top, "M"),
                overlap=float(np.minimum(first, second).sum()),
            )
        )
    return charts


def _shares(pixels: RGB) -> Any:
    grey = np.rint(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return [*histograms(grey), *histograms(pixels)]


def _line(shares: npt.NDArray[np.float64], top: float, begin: str) -> str:
    heights = HEIGHT * (1 - np.minimum(shares / top, 1))
    points = [f"{level}.5 {height:.1f}" for level, height in enumerate(heights)]
    return f"{begin}{points[0]} L" + " ".join(points[1:])

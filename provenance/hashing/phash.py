"""pHash: 64 bits from the 8x8 lowest DCT coefficients of a 32x32 grey picture, each against their median (Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions", 2010; package ``imagehash``)."""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.fft import dctn

from provenance.hashing.code import Fingerprint, HashCode
from provenance.hashing.dihedral import dihedral
from provenance.hashing.reduce import reduced

RGB = npt.NDArray[np.uint8]


class PHash:
    """``phash-v1``. Stateless; its answers depend on the pixels alone."""

    algorithm = "phash-v1"
    length = 64
    # A bit says on which side of the median a coefficient lies. Where most coefficients are next to nothing, those
    # bits are noise, and all smooth pictures look alike: of 48 ramps, vignettes and blurred blots 29 pairs came
    # within 8 bits. A coefficient counts from 4 on, 14 times what rounding to 8 bits puts into it. Measured: every
    # one of those 48 lies below 0.75, and 10 of 11,553 photographs (Flickr8k, Caltech 101), which PDQ can serve.
    minimum_quality = 0.75
    least_coefficient = 4.0

    def load(self) -> None:
        """Nothing has to be loaded."""

    def hash(self, pictures: Sequence[RGB]) -> list[Fingerprint]:
        """Return one fingerprint for each uint8 [H,W,3] sRGB picture."""
        return [self._hash(reduced(picture)) for picture in pictures]

    def hash_dihedral(self, picture: RGB) -> list[HashCode]:
        """Return the codes of the picture's eight variants in the order of ``dihedral.TRANSFORMS``."""
        return [fingerprint.code for fingerprint in self.hash(dihedral(reduced(picture)))]

    def _hash(self, picture: RGB) -> Fingerprint:
        small = Image.fromarray(picture).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
        code = HashCode.from_array(self.algorithm, imagehash.phash(small).hash)
        coefficients = np.abs(dctn(np.asarray(small, dtype=np.float64), norm="ortho")[:8, :8].ravel()[1:])
        quality = float(np.mean(coefficients >= self.least_coefficient))
        return Fingerprint(code, quality, quality >= self.minimum_quality)

"""How alike two pictures of the same size are, in float64, with identity as a flag of its own.

Two published evaluations report about 28 dB for unrelated pictures and 100 dB for identical ones: the first is
uint8 overflow, the second a sentinel. `legacy_psnr_uint8` reproduces both, to explain them and for nothing else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

U8 = npt.NDArray[np.uint8]

DATA_RANGE = 255.0


def is_identical(a: U8, b: U8) -> bool:
    """Whether two pictures [H,W] or [H,W,3] uint8 are the same, pixel by pixel; other shapes are not."""
    return a.shape == b.shape and a.dtype == b.dtype and bool(np.array_equal(a, b))


def mse(a: U8, b: U8) -> float:
    """Mean squared difference over all pixels and channels, in squared grey levels (0..65025).

    Raises ValueError where the two are not uint8 pictures of one shape.
    """
    _check(a, b)
    difference = a.astype(np.float64) - b
    return float(np.mean(difference * difference))


def psnr(a: U8, b: U8) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255; infinite for identical pictures, so never average it
    without leaving those out. Raises ValueError as `mse`.
    """
    error = mse(a, b)
    return float("inf") if error == 0 else float(10 * np.log10(DATA_RANGE**2 / error))


def ssim(a: U8, b: U8) -> float:
    """Structural similarity, -1..1, as in Wang et al. (IEEE TIP 2004): Gaussian window of sigma 1.5 (11x11),
    K1 = 0.01, K2 = 0.03, data range 255, mean over channels. Raises ValueError as `mse`, and for sides below 11.
    """
    _check(a, b)
    if min(a.shape[:2]) < 11:
        raise ValueError(f"SSIM needs at least 11 pixels a side, got {a.shape[1]} x {a.shape[0]}")
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            a.astype(np.float64),
            b.astype(np.float64),
            data_range=DATA_RANGE,
            channel_axis=2 if a.ndim == 3 else None,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def histograms(pixels: U8) -> npt.NDArray[np.float64]:
    """Share of pixels at each of 256 levels, per channel: [3,256] for [H,W,3], [1,256] for [H,W]; rows sum to 1."""
    channels = pixels.reshape(-1, pixels.shape[2] if pixels.ndim == 3 else 1)
    counts = np.stack([np.bincount(channel, minlength=256) for channel in channels.T])
    return counts / len(channels)


def legacy_psnr_uint8(a: U8, b: U8) -> float:
    """PSNR as two published evaluations computed it: differences and squares wrap modulo 256, identical gives 100.

    Unrelated pictures come out near 27.9 dB, since mean(d^2 mod 256) over all d is 105.5. Explains those
    figures; measures nothing. Raises ValueError as `mse`.
    """
    _check(a, b)
    difference = a - b
    wrapped = float(np.mean(difference * difference))
    return 100.0 if wrapped == 0 else float(10 * np.log10(DATA_RANGE**2 / wrapped))


def _check(a: U8, b: U8) -> None:
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"pictures of one shape are needed, got {a.shape} and {b.shape}")
    if a.dtype != np.uint8 or b.dtype != np.uint8:
        raise ValueError(f"uint8 pictures are needed, got {a.dtype} and {b.dtype}")

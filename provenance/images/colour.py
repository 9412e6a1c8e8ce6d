"""From whatever samples a file holds to 8-bit sRGB: transparency, grey of many depths, ICC profiles."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Grey = npt.NDArray[np.uint8]

_MAX_PROFILE_BYTES = 4 * 2**20


def split_alpha(image: Image.Image, raw_mode: str) -> tuple[Image.Image, Image.Image | None]:
    """Colour in mode L, RGB, CMYK or LAB, and an L mask where the file has transparency."""
    key = image.info.get("transparency")
    if image.mode in ("RGBA", "RGBa", "PA") or (image.mode == "P" and key is not None):
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode in ("LA", "La"):
        grey = image.convert("LA")
        return grey.getchannel("L"), grey.getchannel("A")
    alpha = None if key is None else _key_mask(image, key, raw_mode)
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(image)), alpha
    if image.mode == "1":
        return image.convert("L"), alpha
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image, alpha
    return image.convert("RGB"), alpha


def _key_mask(image: Image.Image, key: object, raw_mode: str) -> Image.Image | None:
    """Mask of PNG's tRNS colour key for pictures without palette; None where the key cannot be compared.

    Pillow scales grey of 2 and 4 bits to 8 but leaves the key as it was, and reduces 16-bit RGB to 8 bits:
    there the key is lost with the low bytes and is not applied.
    """
    if isinstance(key, int) and image.mode[0] in "1LI":
        if raw_mode in ("L;2", "L;4"):
            key *= 85 if raw_mode == "L;2" else 17
        hidden = np.asarray(image) == key
    elif isinstance(key, tuple) and image.mode == "RGB" and ";16" not in raw_mode:
        hidden = (np.asarray(image) == np.array(key)).all(axis=2)
    else:
        return None
    return Image.fromarray(np.where(hidden, 0, 255).astype(np.uint8))


def _eight_bits(image: Image.Image) -> Grey:
    """[H,W] uint8 of a grey picture with more than 8 bits a sample.

    Unsigned samples of n bits keep their high 8 bits, as Pillow does for 16-bit RGB (65535 -> 255). Signed,
    32-bit and float samples have no agreed white: they are taken as 0..1 (float only), 0..255 or 0..65535
    if they lie within, and are stretched from their least to their greatest value otherwise. NaN is black.
    """
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        bits = int(tags.get(258, (16,))[0])
        grey: Grey = np.minimum(values >> (bits - 8), 255).astype(np.uint8)
    else:
        if image.mode == "I" and tags.get(339, (2,))[0] == 1:
            values = values.view(np.uint32)  # Pillow keeps unsigned 32-bit samples in a signed picture
        grey = _stretch(values.astype(np.float32))
    if tags.get(262) == 0:  # white is zero
        grey = np.invert(grey)
    return grey


def _stretch(values: npt.NDArray[np.float32]) -> Grey:
    """Overwrites `values`, since a large picture has no room for copies."""
    finite = np.isfinite(values)
    low = float(np.min(values, where=finite, initial=np.inf))
    high = float(np.max(values, where=finite, initial=-np.inf))
    if low > high:
        return np.zeros(values.shape, np.uint8)
    for white in (1.0, 255.0, 65535.0):
        if low >= 0 and high <= white:
            low, high = 0.0, white
            break
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
    values -= low
    values *= 255 / ((high - low) or 1)
    return np.rint(values, out=values).astype(np.uint8)


def to_srgb(colour: Image.Image, profile: object) -> Image.Image:
    """RGB picture in sRGB. A missing, huge, broken or mismatched ICC profile is ignored: plain conversion."""
    if isinstance(profile, bytes) and 0 < len(profile) <= _MAX_PROFILE_BYTES:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            return _apply_profile(colour, source)
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            pass
    if colour.mode == "LAB":
        return _apply_profile(colour, ImageCms.createProfile("LAB"))
    return colour.convert("RGB")


def _apply_profile(colour: Image.Image, source: object) -> Image.Image:
    target = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(source, target, colour.mode, "RGB")  # type: ignore[arg-type]
    if colour.mode == "RGB":
        # Most profiles are sRGB by some name: where no colour moves by more than rounding, keep the pixels.
        axis = np.arange(0, 256, 15, dtype=np.uint8)
        grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
        moved = ImageCms.applyTransform(Image.fromarray(grid), transform)
        if moved is not None and np.abs(np.asarray(moved).astype(int) - grid).max() <= 1:
            return colour
    result = ImageCms.applyTransform(colour, transform)
    assert result is not None, "applyTransform returns a picture unless asked to work in place"
    return result

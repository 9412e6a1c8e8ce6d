"""Write the trained copy detectors into the package, with a card each that says what they are worth::

    python -m provenance.training.ship_copy_models hash WORK
    python -m provenance.training.ship_copy_models robust WORK

``WORK`` holds the checkpoint of :mod:`provenance.training.copy_detection`. Weights are kept as float16. The centre of
the hash is the median of each number over the training pictures, so that each bit is one as often as zero.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from provenance.hashing.dinohash import squared
from provenance.models.catalogue import WEIGHTS
from provenance.models.copy_net import HASH_BITS, HASH_DESCRIPTOR, PLAIN_HASH, ROBUST_HASH, new_hash_net
from provenance.models.hash_net import HashNet
from provenance.training.artwork_pictures import Pictures, load_pictures
from provenance.training.copy_detection import PAIRS, RADIUS, VARIANTS, rows_of
from provenance.training.pictures import Part
from provenance.training.shipping import LICENCE, count, rounded, save, write_sums

_PURPOSES = {
    "hash": "`copy-descriptor-v1`, 256 numbers of a picture that lie near those of its edited copies, and"
    " `dinohash-house-v1`, the first of the product's own 96-bit hashes",
    "robust": "`dinohash-house-v2`, the product's own 96-bit perceptual hash: a picture and its edited copies get"
    " nearly the same bits; an attack within 8 grey levels turns a third of them, and so gets past the search",
}
_HISTORIES = {
    "hash": """from EfficientNet-Lite0's ImageNet weights (Apache-2.0): contrastive with entropy regularisation, after
SSCD (Pizzi et al., CVPR 2022), on the descriptor and on the signs behind the bits at once. The backbone had 750 steps
of an earlier form of the recipe before (96 numbers, no descriptor, 128 pixels), and up to step 500 the rate followed a
schedule of 1,500 steps.

    python -m provenance.training.copy_detection hash WORK --start efficientnet-lite0-57934424.pth --steps {steps}
    python -m provenance.training.ship_copy_models hash WORK""",
    "robust": """from `copy-hash`: contrastive with entropy regularisation, after SSCD (Pizzi et al., CVPR 2022), on the
descriptor and on the signs behind the bits at once. One copy of each pair was attacked before each step: {attacks}
steps of projected gradient ascent within {levels} grey levels, so that its bits differ from the other's as much as can
be (Madry et al., ICLR 2018). Up to step 300 the rate followed a schedule of 1,300 steps.

    python -m provenance.training.copy_detection robust WORK --start copy-hash.safetensors --steps {steps}
    python -m provenance.training.ship_copy_models robust WORK""",
}
_CARD = """# {name}

What for: {purpose}.

Architecture: `provenance/models/copy_net.py`, {parameters:,} numbers in float16: EfficientNet-Lite0 at {side} x {side}
(the whole picture, its proportions not kept), generalised-mean pooling, one linear layer of {width} numbers. The last
{bits} are behind the bits: bit i is whether number i exceeds its median over the training pictures. Those before them
are a descriptor, compared by its cosine.

Data: the training part of Flickr8k (photographs; for research, not for commercial use; the rights to them are their
owners'), Caltech-101 (CC BY 4.0), pictures made by GPT-4o (CC BY 4.0) and Stable Diffusion 1.5 (MIT): {pictures:,}
pictures. What is for tuning and testing goes by the SHA-256 of the file's name (`provenance/training/pictures.py`;
`benchmarks/results/pictures.json` lists every picture with its part) and was never trained on.

Training: {steps:,} steps of {pairs} pictures in two random copies each (`provenance/training/copy_augmentation.py`),
{history}

Figures on {tuned:,} tuning pictures, unedited: a bit is one in {least:.3f} to {greatest:.3f} of them; two bits agree
with a correlation of {correlation:.3f} on average (absolute), {worst:.3f} at most; two different pictures differ in
{apart:.1f} bits on average. Recall, error rates and what attacks leave of it: `make bench-hashing`.

Limits: trained on {pictures:,} pictures only, mostly photographs of people, dogs and objects; drawings, text and
screenshots of tables look more alike to it than they should.

Licence: {licence}
"""


def main() -> None:
    """Ship a hash."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variant", choices=tuple(VARIANTS))
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    work, variant = arguments.work, arguments.variant
    config = {"hash": PLAIN_HASH, "robust": ROBUST_HASH}[variant]
    pictures = load_pictures(work / "pictures")
    trained = torch.load(work / f"{variant}.pt", weights_only=True)
    net = new_hash_net(config)
    net.backbone.load_state_dict(rounded(trained["net"]))
    net.eval()
    train, tune = rows_of(pictures, Part.TRAIN), rows_of(pictures, Part.TUNE)
    net.centre.copy_(_features(net, pictures, train).median(0).values.half().float())
    net.components.copy_(torch.eye(net.width)[HASH_DESCRIPTOR:])
    save(config.model, net.state_dict())
    write_sums()
    bits = (_features(net, pictures, tune) >= net.centre)[:, HASH_DESCRIPTOR:].float()
    share = bits.mean(0)
    correlation = torch.corrcoef(bits.T).fill_diagonal_(0).abs()
    apart = torch.cdist(bits, bits, p=0)
    history = _HISTORIES[variant].format(
        steps=trained["step"], attacks=VARIANTS[variant].attacks, levels=round(RADIUS * 128)
    )
    card = _CARD.format(
        name=config.model,
        purpose=_PURPOSES[variant],
        history=history,
        parameters=count(net),
        side=net.side,
        bits=net.bits,
        width=net.width,
        pictures=len(train),
        steps=trained["step"],
        pairs=PAIRS,
        tuned=len(tune),
        least=share.min(),
        greatest=share.max(),
        correlation=correlation.sum() / (HASH_BITS * (HASH_BITS - 1)),
        worst=correlation.max(),
        apart=apart.sum() / (len(tune) * (len(tune) - 1)),
        licence=LICENCE,
    )
    (WEIGHTS / f"{config.model}.md").write_text(card)
    print(card)


@torch.no_grad()
def _features(net: HashNet, pictures: Pictures, rows: npt.NDArray[np.int64]) -> Tensor:
    found = []
    for part in np.array_split(rows, max(1, len(rows) // 64)):
        pixels = np.stack([squared(pictures.pixels[row], net.side) for row in part])
        found.append(net.features(torch.from_numpy(np.asarray(pixels, np.float32) / 255).permute(0, 3, 1, 2)))
    return torch.cat(found)


if __name__ == "__main__":
    main()

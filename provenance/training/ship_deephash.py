"""Write the trained deep hashes into the package, with a card each::

    python -m provenance.training.ship_deephash con-vae-64 WORK
    python -m provenance.training.ship_deephash con-vae-128 WORK
    python -m provenance.training.ship_deephash edit-hash-64 WORK

``WORK`` holds what :mod:`provenance.training.deephash` (on photographs) and :mod:`provenance.training.edit_hash` wrote.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from provenance.hashing.autoencoders import AutoencoderHash
from provenance.models import edit_hash
from provenance.models.autoencoder_nets import load_autoencoder
from provenance.models.catalogue import WEIGHTS
from provenance.models.copy_net import ROBUST_HASH, load_hash_net
from provenance.models.edit_hash import EditHash
from provenance.training.artwork_pictures import load_pictures
from provenance.training.copy_detection import rows_of
from provenance.training.deephash import BATCH, LEARNING_RATE
from provenance.training.deephash_pictures import photographs
from provenance.training.edit_hash import COPIES, figures, tune_features
from provenance.training.pictures import Part
from provenance.training.shipping import LICENCE, count, save, write_sums

_AUTOENCODER = """# {name}

What for: `{name}-v1`, the deep hash of {bits} bits of Yang et al., "Deep hashing for copyright images" (J.UCS 2023):
Con-VAE, their best. It tells registered pictures apart and reconstructs them roughly; edited copies it loses
(`make bench-deephash`). For copies use `edit-hash-64`.

Architecture: `provenance/models/autoencoder_nets.py`, {parameters:,} numbers in float16: the whole picture in grey at
128 x 128 (its proportions not kept), six convolutions of kernel 2 and stride 2 to 2 x 2, {bits} means and log
variances, transposed convolutions back. Bit i is whether mean i is above its mean over the training pictures.

Chosen where the paper says nothing: {scale:g} of its widths (12 to 384 filters for 32 to 1,024), transposed
convolutions of kernel 4, a full layer before them, summed squared error plus the divergence with weight 1, batches of
{batch}, no augmentation.

Data: the training part of Flickr8k (photographs; for research, not for commercial use; the rights to them are their
owners') and Caltech-101 (CC BY 4.0): {pictures:,} pictures. What is for tuning and testing goes by the SHA-256 of the
file's name (`provenance/training/pictures.py`; `benchmarks/results/pictures.json` lists every picture with its part).

Training: {epochs} epochs, Adam at {rate:g} under cosine annealing, on a processor; the paper has 2,000 epochs at its
full widths, which `--scale 1 --epochs 2000 --device cuda` asks for.

    python -m provenance.training.deephash con-vae {bits} WORK --epochs {epochs}
    python -m provenance.training.ship_deephash {name} WORK

Figures on {tuned:,} tuning pictures: reconstruction {psnr:.2f} dB on average (training pictures {train_psnr:.2f} dB); a
bit is one in {least:.3f} to {greatest:.3f} of them; {shared} of them share their code with another; two different
pictures differ in {apart:.1f} bits on average.

Licence: {licence}
"""
_EDIT = """# {name}

What for: `edit-hash-64-v1`, 64 bits of which few turn when a picture is turned a little, cut, made noisy or mirrored.

Architecture: `provenance/models/edit_hash.py`: the features (1,280 numbers) that the network of `robust-hash`, which
stays as it is, has of the picture and of its mirror image at 96 x 96, averaged; one layer of 64 numbers over them,
{parameters:,} numbers in float16. Bit i is whether number i is above its median over the training pictures. Among
equal codes, and where it is decided whether a picture is registered, the features themselves are compared.
`robust-hash` must be there too; both are in the package.

Data: as `robust-hash`, {pictures:,} training pictures, with {copies} edited copies of each. That network began with
EfficientNet-Lite0's ImageNet weights, which were learnt from labels: what this hash knows of classes is from there.

Training: {steps:,} steps of the last layer only, contrastive on the signs, with entropy, balance and decorrelation of
the bits, over features that are calculated once.

    python -m provenance.training.edit_hash WORK --steps {steps}
    python -m provenance.training.ship_deephash {name} WORK

Figures on {tuned:,} tuning pictures, bits between two pictures, then bits that edits turn and how many copies come
first; the last copy has several heavy edits at once, the others have one or two of the paper's:
{figures}. A bit is one in {least:.3f} to {greatest:.3f} of the pictures; two bits
agree with a correlation of {correlation:.3f} on average (absolute), {worst:.3f} at most. Recall and error rates:
`make bench-deephash`.

Limits: those of `robust-hash`: trained on photographs of people, dogs and objects mostly.

Licence: {licence}
"""


def ship_autoencoder(name: str, work: Path) -> str:
    """Copy one that was trained on photographs; return its card."""
    bits = int(name.rsplit("-", 1)[1])
    stem = work / f"photographs-con-vae-{bits}"
    shutil.copyfile(stem.with_suffix(".safetensors"), WEIGHTS / f"{name}.safetensors")
    net = load_autoencoder(WEIGHTS / f"{name}.safetensors")
    history = json.loads(stem.with_suffix(".json").read_text())
    found = photographs(work / "pictures")
    tune = found.of(Part.TUNE)
    codes, _ = AutoencoderHash(name, bits, lambda: net).encode_grey(found.levels[tune])
    unpacked = torch.from_numpy(np.unpackbits(codes, axis=1)).float()
    _, counts = np.unique(codes, axis=0, return_counts=True)
    return _AUTOENCODER.format(
        name=name, bits=bits, parameters=count(net), scale=net.architecture.scale, batch=BATCH,
        pictures=len(found.of(Part.TRAIN)), epochs=len(history), rate=LEARNING_RATE, tuned=len(tune),
        psnr=history[-1]["tune_psnr"], train_psnr=history[-1]["train_psnr"], least=unpacked.mean(0).min(),
        greatest=unpacked.mean(0).max(), shared=int(counts[counts > 1].sum()),
        apart=torch.pdist(unpacked, p=0).mean(), licence=LICENCE,
    )  # fmt: skip


def ship_edit_hash(work: Path) -> str:
    """Write the last layer of the edit hash; return its card."""
    trained = torch.load(work / "edit-hash.pt", weights_only=True)
    own = {f"head.{key}": tensor for key, tensor in trained["head"].items()}
    save(edit_hash.MODEL, {**own, "threshold": trained["threshold"]})
    net = EditHash(load_hash_net(ROBUST_HASH)).eval()
    net.head.load_state_dict({key: tensor.half().float() for key, tensor in trained["head"].items()})
    net.threshold.copy_(trained["threshold"].half().float())
    pictures = load_pictures(work / "pictures")
    tune = tune_features(net, pictures, work)
    with torch.no_grad():
        bits = (net.project(tune[0]) > net.threshold).float()
    share, correlation = bits.mean(0), torch.corrcoef(bits.T).fill_diagonal_(0).abs()
    return _EDIT.format(
        name=edit_hash.MODEL, parameters=count(net.head), pictures=len(rows_of(pictures, Part.TRAIN)), copies=COPIES,
        steps=trained["steps"], tuned=len(bits), figures=figures(net, tune), least=share.min(), greatest=share.max(),
        correlation=correlation.sum() / (edit_hash.BITS * (edit_hash.BITS - 1)), worst=correlation.max(),
        licence=LICENCE,
    )  # fmt: skip


def main() -> None:
    """Ship one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("con-vae-64", "con-vae-128", edit_hash.MODEL))
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    name = arguments.name
    card = ship_edit_hash(arguments.work) if name == edit_hash.MODEL else ship_autoencoder(name, arguments.work)
    (WEIGHTS / f"{name}.md").write_text(card)
    write_sums()
    print(card)


if __name__ == "__main__":
    main()

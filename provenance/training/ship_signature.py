"""Write the trained networks of the robust signature into the package, with their card::

    python -m provenance.training.ship_signature WORK

``WORK`` is the folder of :mod:`provenance.training.robust_signature`; its last checkpoint is taken.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from provenance.models.catalogue import WEIGHTS
from provenance.models.signature_nets import Injector, SignatureDetector
from provenance.training.robust_signature import load
from provenance.training.shipping import LICENCE, count, save, write_sums
from provenance.watermark.networks import MODEL

_CARD = """# {name}

What for: `signature-v1`, a signature of 64 bits that edits leave readable: the injector fits it to a picture, the
detector finds it again. A signature is a pointer to a record, not a proof.

Architecture: `provenance/models/signature_nets.py`: two nets of convolutions at half the resolution with dilated
residual layers, {injector:,} numbers (injector) and {detector:,} (detector) in float16. Both work on a copy of the
picture whose area is 256 x 256 pixels. What they carry is a sum of sine waves (`provenance/watermark/pattern.py`), so
that geometry and bits are found by correlation and need no training.

Data: the training part of Flickr8k (photographs; for research, not for commercial use; the rights to them are their
owners') and Caltech-101 (CC BY 4.0), {pictures:,} pictures. What is for tuning and testing goes by the SHA-256 of the
file's name (`provenance/training/pictures.py`).

Training: {steps:,} steps of {batch} pictures on one core of a processor, AdamW. The first 3,800 ran at .002 before the
injector was kept out of smooth places, which made its task harder; the others at {rate:g}, of which the cosine left a
tenth. Mean squared error of the pattern after edits, in units of its variance, over the steps:
{curve}.
It was still falling: a GPU goes on by

    python -m provenance.training.robust_signature WORK --device cuda --steps 200000 --batch 128
    python -m provenance.training.ship_signature WORK

What it withstands and what it does not: `make bench-signature`.

Licence: {licence}
"""


def main() -> None:
    """Ship both networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    state = torch.load(work / "robust-signature.pt", map_location="cpu", weights_only=True)
    save(MODEL, {f"{part}.{name}": value for part in ("injector", "detector") for name, value in state[part].items()})
    curve = [json.loads(line) for line in (work / "robust-signature.jsonl").read_text().splitlines()]
    wanted = sorted({min(curve, key=lambda line: abs(line["step"] - state["step"] * share))["step"]
                     for share in (0.01, 0.1, 0.25, 0.5, 0.75, 1)})  # fmt: skip
    shown = {line["step"]: line["loss"] for line in curve if line["step"] in wanted}
    card = _CARD.format(
        name=MODEL, injector=count(Injector()), detector=count(SignatureDetector()), pictures=len(load(work)),
        steps=state["step"], batch=state["recipe"]["batch"], rate=state["recipe"]["rate"],
        curve=", ".join(f"{loss:.3f} ({step:,})" for step, loss in shown.items()), licence=LICENCE,
    )  # fmt: skip
    (WEIGHTS / f"{MODEL}.md").write_text(card)
    write_sums()
    print(card)


if __name__ == "__main__":
    main()

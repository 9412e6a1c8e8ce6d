"""Cards of the networks that the recipes of the published signature leave beside their weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from provenance.training.shipping import count
from provenance.training.signature_pictures import Squares

_CARD = """# {name}

What for: {purpose}

Architecture: {parameters}.

Data: {pictures:,} pictures in {sources} set(s), split by picture (`provenance/training/signature_pictures.py`); the
parts for tuning and testing are never learnt from.

Training: {steps:,} steps. Numbers: `{recipe}`

    {command}

Figures on tuning pictures, at the end: `{last}`. On test pictures, with intervals:

    python -m benchmarks.signature_paper WORK STAGE2 --size {size}

Limits: the published method. A signature this weak does not outlast JPEG compression or resizing, which it is not
trained against; whoever has the injector can sign anything, and whoever has pairs of plain and signed pictures can
learn to take signatures out.
"""


def write_card(
    stem: Path,
    *,
    purpose: str,
    nets: dict[str, nn.Module],
    sources: Sequence[Squares],
    command: str,
    size: str,
    told: dict[str, Any],
) -> None:
    """Write ``stem.md``.

    Args:
        told: ``recipe`` and ``history`` of the training, as in its JSON file.
    """
    text = _CARD.format(
        name=stem.name,
        purpose=purpose,
        parameters=", ".join(f"{name} of {count(net):,} numbers" for name, net in nets.items()),
        pictures=sum(len(source.names) for source in sources),
        sources=len(sources),
        steps=told["recipe"]["steps"],
        recipe=json.dumps(told["recipe"]),
        command=command,
        last=json.dumps(told["history"][-1]),
        size=size,
    )
    stem.with_suffix(".md").write_text(text)

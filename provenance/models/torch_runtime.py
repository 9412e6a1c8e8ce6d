"""Make packages that import torchvision importable beside any build of torch."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch

# As torchvision declares them itself in its compiled part.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# A library takes its declarations with it when it is collected.
_kept: list[torch.library.Library] = []


@cache
def prepare() -> None:
    """Call before the first import of torchvision or of what imports it (open_clip, timm).

    The package index has torchvision compiled against CUDA only. Beside a CPU build of torch its compiled part does not
    load, and its import fails for two operators that it wants to describe. They are declared here without a body, so
    that everything else of torchvision works; where the compiled part loads, nothing is changed.
    """
    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations or _declared():
        return
    try:
        for compiled in Path(spec.submodule_search_locations[0]).glob("_C*.so"):
            torch.ops.load_library(compiled)
    except OSError:
        # What cannot be loaded declares nothing.
        pass
    if _declared():
        return
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    _kept.append(library)


def _declared() -> bool:
    return hasattr(torch.ops.torchvision, "nms")

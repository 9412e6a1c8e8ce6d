"""Write tests/vectors/dinov2_vit{s,b}14_reg4_keys.json from their authors' code.

The package is no requirement; it carries the authors' modules of DINOv2 unchanged in what matters here. In a folder of
its own:

    pip install --no-deps --target /tmp/published depth-anything-v2==0.1.0
    PYTHONPATH=/tmp/published:. python -m tests.provenance.models.write_dinov2_vectors
"""

from __future__ import annotations

import torch

from provenance.models.dinov2 import VIT_B, VIT_S
from tests.provenance.models.dinov2 import DINOV2_VECTORS, dinov2_weights, probe
from tests.provenance.models.published import sample
from tests.provenance.models.write_vectors import shapes, write


@torch.no_grad()
def main() -> None:
    from depth_anything_v2 import dinov2

    for size, make in ((VIT_S, dinov2.vit_small), (VIT_B, dinov2.vit_base)):
        # The settings of the authors' hub for the models with registers.
        model = make(
            img_size=518,
            patch_size=14,
            init_values=1.0,
            ffn_layer="mlp",
            block_chunks=0,
            num_register_tokens=4,
            interpolate_antialias=True,
            interpolate_offset=0.0,
        ).eval()
        found = shapes(model)
        model.load_state_dict(dinov2_weights(found))
        write(
            DINOV2_VECTORS[size],
            {
                "source": f"DINOv2's own modules as in depth-anything-v2 0.1.0, {size.name}, as its hub makes it",
                "shapes": found,
                "cls": [sample(row) for row in model(probe())],
            },
        )


if __name__ == "__main__":
    main()

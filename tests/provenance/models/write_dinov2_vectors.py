"""Write tests/vectors/dinov2_vit{s,b}14_reg4_keys.json and dinohash.json from their authors' code.

The logits of dinohash.json come from the steps that the hash's authors publish, made with torchvision and NumPy: none
of them is this package's.

The package is no requirement; it carries the authors' modules of DINOv2 unchanged in what matters here. In a folder of
its own:

    pip install --no-deps --target /tmp/published depth-anything-v2==0.1.0
    PYTHONPATH=/tmp/published:. python -m tests.provenance.models.write_dinov2_vectors
"""

from __future__ import annotations

import torch
from PIL import Image

from provenance.models.dinohash import PUBLISHED
from provenance.models.dinov2 import VIT_B, VIT_S
from provenance.models.torch_runtime import prepare
from tests.provenance.hashing.pictures import synthetic
from tests.provenance.models.dinov2 import (
    DINOHASH_VECTORS,
    DINOV2_VECTORS,
    components_of,
    dinov2_weights,
    mean_of,
    probe,
)
from tests.provenance.models.published import sample
from tests.provenance.models.write_vectors import shapes, write

HASHED = {VIT_S: ("waves", "blocks", "large", "tall", "small"), VIT_B: ("waves", "tall")}


@torch.no_grad()
def main() -> None:
    prepare()
    from depth_anything_v2 import dinov2
    from torchvision import transforms

    preprocess = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    pictures = synthetic()
    logits = {}
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
        for algorithm in (name for name, made in PUBLISHED.items() if made.backbone is size):
            logits[algorithm] = {}
            for name in HASHED[size]:
                features = model(preprocess(Image.fromarray(pictures[name]))[None]).numpy()
                found = (features - mean_of(algorithm)) @ components_of(algorithm).T
                logits[algorithm][name] = [round(value, 5) for value in found[0].tolist()]
    write(
        DINOHASH_VECTORS,
        {
            "source": "DINOv2's own modules with the random weights of tests.provenance.models.dinov2; resized and"
            " normalised by torchvision, projected by NumPy",
            "logits": logits,
        },
    )


if __name__ == "__main__":
    main()

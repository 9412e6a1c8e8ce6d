"""Write tests/vectors/vqgan_f16_16384_keys.json and clip_vit_b_32_keys.json from their authors' code.

Neither package is a requirement. In a folder of their own:

    pip install --no-deps --target /tmp/published taming-transformers-rom1504==0.0.6 einops==0.8.2 clip-anytorch==2.6.0
    PYTHONPATH=/tmp/published:. python -m tests.provenance.models.write_vectors

The first is the authors' code of VQGAN with the published configuration, the second OpenAI's of CLIP with ViT-B/32's.
"""

from __future__ import annotations

import json
import re
import sys
import types
from pathlib import Path

import packaging.version
import torch
from torch.nn.functional import normalize

from provenance.models.torch_runtime import prepare
from tests.provenance.models.published import (
    CLIP_VECTORS,
    TEXTS,
    VQGAN_VECTORS,
    probe_codes,
    probe_pixels,
    random_weights,
    sample,
)


def vqgan() -> torch.nn.Module:
    # Its training needs Lightning; its network only the name of its base class.
    lightning = types.ModuleType("pytorch_lightning")
    lightning.LightningModule = torch.nn.Module
    main = types.ModuleType("taming.main")
    main.instantiate_from_config = lambda _: torch.nn.Identity()
    sys.modules |= {"pytorch_lightning": lightning, "taming.main": main}
    from taming.models.vqgan import VQModel

    return VQModel(
        ddconfig={
            "double_z": False,
            "z_channels": 256,
            "resolution": 256,
            "in_channels": 3,
            "out_ch": 3,
            "ch": 128,
            "ch_mult": [1, 1, 2, 2, 4],
            "num_res_blocks": 2,
            "attn_resolutions": [16],
            "dropout": 0.0,
        },
        lossconfig={},
        n_embed=16384,
        embed_dim=256,
        sane_index_shape=True,
    )


def clip() -> torch.nn.Module:
    from clip.model import CLIP

    return CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)


def shapes(model: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in model.state_dict().items()}


def write(file: Path, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=1)
    # A list on one line.
    text = re.sub(
        r"\[[^\]]*\]", lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text
    )
    file.write_text(text + "\n", encoding="utf-8")


@torch.no_grad()
def main() -> None:
    prepare()
    model = vqgan().eval()
    found = shapes(model)
    model.load_state_dict(random_weights(found))
    latent, _, (_, _, codes) = model.encode(probe_pixels(32))
    before = model.quant_conv(model.encoder(probe_pixels(32)))
    entries = model.quantize.get_codebook_entry(probe_codes().flatten(), (1, 4, 4, 256))
    write(
        VQGAN_VECTORS,
        {
            "source": "taming-transformers-rom1504 0.0.6, VQModel of configs/imagenet f16 16384; loss keys left out",
            "shapes": found,
            "encode": sample(before),
            "codes": codes.flatten().tolist(),
            "reconstruct": sample(model.decode(latent)),
            "decode": sample(model.decode(entries)),
        },
    )
    del model
    # Gone from today's setuptools; asked for a version only.
    resources = types.ModuleType("pkg_resources")
    resources.packaging = packaging
    sys.modules["pkg_resources"] = resources
    from clip import tokenize

    model = clip().eval()
    found = shapes(model)
    model.load_state_dict(random_weights(found))
    write(
        CLIP_VECTORS,
        {
            "source": "clip-anytorch 2.6.0, CLIP with the sizes of ViT-B/32",
            "shapes": found,
            "text": sample(normalize(model.encode_text(tokenize(TEXTS)))),
            "image": sample(normalize(model.encode_image(probe_pixels(224)))),
        },
    )


if __name__ == "__main__":
    main()

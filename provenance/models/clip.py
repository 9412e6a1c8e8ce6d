"""CLIP ViT-B/32 as OpenAI trained it, through open_clip.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.models.checkpoints import fill, read_tensors
from provenance.models.torch_runtime import prepare

NAME = "clip-vit-b-32"
SIDE = 224
EMBEDDING = 512
# Of red, green and blue in [0, 1]; the paper's own normalisation.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
# With the activation that OpenAI trained with; open_clip's plain ViT-B-32 has another.
_ARCHITECTURE = "ViT-B-32-quickgelu"
# OpenAI's own files hold these beside the weights.
_IGNORED = ("input_resolution", "context_length", "vocab_size")


class Clip:
    """The two towers.

    Attributes:
        model: open_clip's CLIP, both towers in one module.
        tokenizer: texts, ``list[str]``, to token numbers, int64 ``[N, 77]``.
        image: normalised pixels, float32 ``[B, 3, SIDE, SIDE]``, to embeddings ``[B, EMBEDDING]``, length not 1.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.image: nn.Module = model.visual

    @torch.no_grad()
    def embed_text(self, texts: list[str]) -> Tensor:
        """Return embeddings of length 1, float32 ``[N, EMBEDDING]``. Of a text the first 75 tokens count."""
        if not texts:
            return torch.zeros(0, EMBEDDING)
        return functional.normalize(self.model.encode_text(self.tokenizer(texts)).float())


def normalise(pixels: Tensor) -> Tensor:
    """Map RGB in [0, 1], ``[B, 3, H, W]``, to what the image tower was trained on."""
    mean, std = (pixels.new_tensor(part).view(3, 1, 1) for part in (MEAN, STD))
    return (pixels - mean) / std


def load_clip(path: Path) -> Clip:
    """Load open_clip's ViT-B/32 from its tensors as safetensors or a file of torch.save; nothing is fetched.

    Returns:
        On the CPU, float32, in eval mode, without gradients of its weights.

    Raises:
        ModelCorrupt: the file is not this model; the message names keys.
    """
    prepare()
    import open_clip

    tensors = read_tensors(path, NAME)
    model = open_clip.create_model(_ARCHITECTURE, pretrained=None)
    fill(model, tensors, path, NAME, _IGNORED)
    model.eval().requires_grad_(False)
    return Clip(model, open_clip.get_tokenizer(_ARCHITECTURE))

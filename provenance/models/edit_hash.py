"""The product's own deep hash: what the shipped copy detector sees in a picture, projected on bits that edits leave.

The detector's features of a picture and of its mirror image are averaged, so that a mirrored copy has the same code.
"""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from provenance.models import store
from provenance.models.copy_net import ROBUST_HASH, CopyNet, load_hash_net
from provenance.models.efficientnet import CHANNELS
from provenance.models.hash_net import HashNet

MODEL = "edit-hash-64"
BITS = 64


class EditHash(nn.Module):
    """Pixels to 64 numbers; bit i is whether number i is above ``threshold[i]``, its median over training pictures.

    Attributes:
        trunk: the shipped detector, whose weights are in a file of its own and stay as they are.
        threshold: buffer ``[BITS]``.
    """

    threshold: Tensor

    def __init__(self, trunk: HashNet) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(CHANNELS, BITS)
        self.register_buffer("threshold", torch.zeros(BITS))

    @property
    def side(self) -> int:
        """Pixels a side."""
        return self.trunk.side

    def seen(self, pixels: Tensor) -> Tensor:
        """Return the trunk's features ``[B, CHANNELS]``, of length 1, of float pixels ``[B, 3, side, side]`` in [0, 1];
        the same of a mirrored picture."""
        net = self.trunk.backbone
        assert isinstance(net, CopyNet)
        pixels = (pixels - self.trunk.pixel_mean) / self.trunk.pixel_std
        return nn.functional.normalize(net.pooled(pixels) + net.pooled(pixels.flip(3)))

    def project(self, seen: Tensor) -> Tensor:
        """Return the numbers ``[B, BITS]``, of length 1, of features that :meth:`seen` made."""
        return nn.functional.normalize(self.head(seen))


def load_edit_hash() -> EditHash:
    """Load the shipped net, float32, in eval mode.

    Raises:
        provenance.models.errors.ModelMissing: one of its two files is not here.
    """
    net = EditHash(load_hash_net(ROBUST_HASH))
    own = {name: tensor.float() for name, tensor in load_file(store.path(MODEL)).items()}
    net.head.load_state_dict({"weight": own["head.weight"], "bias": own["head.bias"]})
    net.threshold.copy_(own["threshold"])
    return net.eval().requires_grad_(False)

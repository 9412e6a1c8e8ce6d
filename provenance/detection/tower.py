"""What the detector sees with: frozen image towers and the features that are taken from them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.models import store
from provenance.models.checkpoints import fill, read_tensors
from provenance.models.efficientnet import CHANNELS, EfficientNetLite0
from provenance.models.errors import UnknownModel
from provenance.models.vision_towers import TOWERS, VisionTower, load_tower

SHIPPED = "text-image"
SHIPPED_SIDE = 160
# After these blocks and after stem and head: the last of each resolution, and where the width grows.
_TAPS = (0, 2, 4, 7, 10, 14, 15)
SHIPPED_WIDTH = 32 + 16 + 24 + 40 + 80 + 112 + 192 + 320 + CHANNELS
_PREFIX = "image.features."


class Tower(Protocol):
    """A frozen net with gradients to its pixels.

    Attributes:
        name: of its model in the store.
        side: pixels a side of its input.
        width: numbers of its features.
    """

    name: str
    side: int
    width: int

    def __call__(self, pixels: Tensor) -> Tensor:
        """Map RGB in [0, 1], float ``[B, 3, side, side]``, to features ``[B, width]``."""
        ...


class ShippedTower(nn.Module):
    """The image tower of the shipped text-image model, itself distilled from CLIP ViT-B/16: the mean of every channel
    at nine depths. Early layers see how a picture is drawn, the last what it shows; together they tell generators that
    were never seen a little better than the last alone."""

    name, side, width = SHIPPED, SHIPPED_SIDE, SHIPPED_WIDTH

    def __init__(self, net: EfficientNetLite0) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, pixels: Tensor) -> Tensor:
        # As the tower was trained: (p - 127) / 128 of bytes p.
        x = ((pixels * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)
        x = functional.relu6(self.net.stem(x))
        seen = [x.mean((2, 3))]
        for number, block in enumerate(self.net.blocks):
            x = block(x)
            if number in _TAPS:
                seen.append(x.mean((2, 3)))
        seen.append(functional.relu6(self.net.head(x)).mean((2, 3)))
        return torch.cat(seen, 1)


class PublishedTower(nn.Module):
    """One of the towers of ``provenance.models.vision_towers``: its features before any projection."""

    mean: Tensor
    std: Tensor

    def __init__(self, tower: VisionTower, net: nn.Module) -> None:
        super().__init__()
        self.name, self.side, self.width = tower.name, tower.side, tower.width
        self.net = net
        self.register_buffer("mean", torch.tensor(tower.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(tower.std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.net((pixels - self.mean) / self.std)
        return features


def tower_named(name: str, path: Path | None = None) -> Tower:
    """Load a tower by the name of its model.

    Args:
        path: another file of the same tensors, such as one fine-tuned against attacks; by default the store's.

    Raises:
        ModelMissing: its file is not here; the message has the command that fetches it.
        ModelCorrupt: the file is not of this model.
        UnknownModel: no tower has that name.
    """
    if name in TOWERS:
        tower = TOWERS[name]
        return PublishedTower(tower, load_tower(tower, path or store.path(name)))
    if name != SHIPPED:
        raise UnknownModel(f"There is no tower {name}. There are: {', '.join((SHIPPED, *TOWERS))}.")
    path = path or store.path(name)
    tensors = read_tensors(path, name)
    net = EfficientNetLite0()
    image = {k.removeprefix(_PREFIX): t.float() for k, t in tensors.items() if k.startswith(_PREFIX)}
    fill(net, image, path, name, ())
    return ShippedTower(net.eval().requires_grad_(False))

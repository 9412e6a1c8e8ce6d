"""How different two pictures look to a network that was trained to name things."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from provenance.models.efficientnet import EfficientNetLite0


class Perceptual(nn.Module):
    """Distance between unit-length features at five depths of EfficientNet-Lite0, as LPIPS has it of VGG
    (Zhang et al. 2018), without learnt weights. Pixels in [-1, 1], one value a picture."""

    _DEPTHS = (0, 2, 4, 7, 10)

    def __init__(self, net: EfficientNetLite0) -> None:
        super().__init__()
        self.stem, self.blocks = net.stem, net.blocks[: self._DEPTHS[-1] + 1]
        self.requires_grad_(False)

    def features(self, pixels: Tensor) -> list[Tensor]:
        x = functional.relu6(self.stem(pixels))
        found = []
        for depth, block in enumerate(self.blocks):
            x = block(x)
            if depth in self._DEPTHS:
                found.append(functional.normalize(x, dim=1))
        return found

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the distances, float ``[B]``."""
        pairs = zip(self.features(one), self.features(other), strict=True)
        return sum(((a - b) ** 2).sum(1).mean((1, 2)) for a, b in pairs)  # type: ignore[return-value]

from __future__ import annotations

import pytest
import torch

from provenance.models.paper_signature_nets import ResNet34, ResNetConfig, UNet, UNetConfig
from provenance.models.torch_runtime import prepare

TINY = UNetConfig(8, (1, 2), blocks=1, attention=(2,), head=8, groups=4, dropout=0.0)


def _woken(net: UNet) -> UNet:
    """Fill what begins as zeros, so that everything has a say."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return net.eval()


def test_the_published_sizes() -> None:
    with torch.device("meta"):
        injector, detector = UNet(UNetConfig(), 2), ResNet34(ResNetConfig(), 1)
        out = injector(torch.empty(1, 3, 64, 64), torch.empty(1, 2))
    assert out.shape == (1, 3, 64, 64)
    # 34.6 million, of which the code's embedding has (2 + 1) * 256 + 257 * 256.
    assert sum(parameter.numel() for parameter in injector.parameters()) == 34_613_955 + 66_560
    assert sum(parameter.numel() for parameter in detector.parameters()) == 21_285_185


def test_the_detector_is_torchvisions_resnet_34() -> None:
    prepare()
    from torchvision.models import resnet34

    torch.manual_seed(0)
    theirs, ours = resnet34(num_classes=2), ResNet34(ResNetConfig(), 2)
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.eval()(pixels), theirs.eval()(pixels))


def test_an_untrained_injector_returns_grey() -> None:
    assert not UNet(TINY)(torch.rand(2, 3, 16, 16)).any()


def test_the_code_scales_and_shifts_the_features() -> None:
    net = _woken(UNet(TINY, 2))
    pixels = torch.rand(1, 3, 16, 16).expand(3, -1, -1, -1)
    with torch.no_grad():
        found = net(pixels, torch.tensor([[0, 1], [1, 0], [1, 1]]))
        for one in range(3):
            assert (found[one] - found[one - 1]).abs().max() > 1e-3
        # Without the modulation nothing of the code is left.
        for name, parameter in net.named_parameters():
            if "modulation" in name:
                parameter.zero_()
        found = net(pixels, torch.tensor([[0, 1], [1, 0], [1, 1]]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_distant_pixel_is_seen_through_the_levels() -> None:
    net = _woken(UNet(TINY))
    pixels = torch.zeros(1, 3, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(pixels)[0, 0, 0, 0], pixels)
    assert gradient[0, :, 15, 15].abs().min() > 0


@pytest.mark.parametrize(
    ("bits", "shape", "code"),
    [(1, (1, 3, 15, 16), None), (1, (1, 3, 16, 16), (1, 1)), (2, (1, 3, 16, 16), None), (2, (2, 3, 16, 16), (1, 2))],
)
def test_what_does_not_fit_is_refused(bits: int, shape: tuple[int, ...], code: tuple[int, int] | None) -> None:
    with pytest.raises(ValueError, match=r"multiples of 2|bits? "):
        UNet(TINY, bits)(torch.zeros(shape), None if code is None else torch.ones(code))

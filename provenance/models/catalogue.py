"""Every weight file of the product: what it is for, whose it is, and how its content is known to be right."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

WEIGHTS = Path(__file__).with_name("weights")
# Digests of the files in WEIGHTS, as sha256sum writes them. After a change of one of them:
#   cd provenance/models/weights && sha256sum *.safetensors > SHA256SUMS
SUMS = "SHA256SUMS"


class Pin(StrEnum):
    """How the right content of a file is known."""

    PACKAGE = "in the package"
    PUBLISHED = "published digest"
    FIRST_USE = "at first use"


@dataclass(frozen=True)
class Model:
    """One weight file.

    Attributes:
        name: kebab-case; what people type and what recipes name.
        file: its name in the package's folder of weights or in the local folder.
        size: bytes. None for a shipped file; about right, within a tenth, where no digest is published.
        sha256: 64 hex digits as published. None: the package's list has it, or the first use fixes it.
        urls: https, tried in this order; empty for a shipped file.
    """

    name: str
    purpose: str
    architecture: str
    licence: str
    origin: str
    file: str
    size: int | None = None
    sha256: str | None = None
    urls: tuple[str, ...] = ()

    @property
    def shipped(self) -> bool:
        """Whether the file is a part of the package."""
        return not self.urls

    @property
    def pin(self) -> Pin:
        """How the right content is known."""
        if self.shipped:
            return Pin.PACKAGE
        return Pin.PUBLISHED if self.sha256 else Pin.FIRST_USE


_TAMING = "https://heibox.uni-heidelberg.de"
# A commit of the repackaged model's repository: what it holds cannot change behind this address.
_OPENAI_CLIP = (
    "https://huggingface.co/timm/vit_base_patch32_clip_224.openai/resolve/ab5b8ef490e86faa07d3523926b842c765de1de5"
)
# By their branch: no commit of these repositories is on record here, and so the first use fixes what they hold.
_DFN5B, _SIGLIP = "https://huggingface.co/apple/DFN5B-CLIP-ViT-H-14", "https://huggingface.co/timm/ViT-SO400M-14-SigLIP"
_BOTH_TOWERS = "open_clip_pytorch_model.bin"
_APPLE = "Apple Sample Code License"
_META = "https://dl.fbaipublicfiles.com/dinov2"
# Commits again. The repository of DinoHash was cut down later; a fork of it still has what its authors fitted for 512
# bits, under the commit at which they stored it.
_GITHUB = "https://raw.githubusercontent.com"
_DINOHASH_B_96 = f"{_GITHUB}/proteus-photos/benchmarking/3ae68b2e4140d034ef4d092d7d900d4183b36564/hashes"
_B_512 = "dinohash-perceptual-hash/643aced23b7588e448281e2715ada5d59973142f/hashes"
_DINOHASH_B_512 = (f"{_GITHUB}/Xenonwizard/{_B_512}", f"{_GITHUB}/proteus-photos/{_B_512}")
_DINOHASH_S = f"{_GITHUB}/proteus-photos/dinohash-perceptual-hash/af166abb506e1f67901a91211ffc5691b337500c/hashes"
_NO_LICENCE = "none stated by its authors"

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="small-vqgan",
            purpose="paints artworks, shipped tier",
            architecture="VQGAN of convolutions and ReLUs, f = 8, two codebooks of 1,024 codes",
            licence="see small-vqgan.md beside the file",
            origin="trained for this package by provenance.training.small_vqgan",
            file="small-vqgan.safetensors",
        ),
        Model(
            name="text-image",
            purpose="says how well a picture fits a prompt, shipped tier",
            architecture="EfficientNet-Lite0 image tower, text tower over words and trigrams",
            licence="see text-image.md beside the file",
            origin="trained for this package by provenance.training.text_image",
            file="text-image.safetensors",
        ),
        Model(
            name="copy-hash",
            purpose="copy-descriptor-v1 and dinohash-house-v1: finds edited copies",
            architecture="EfficientNet-Lite0, generalised-mean pooling, 256 numbers and 96 bits",
            licence="see copy-hash.md beside the file",
            origin="trained for this package by provenance.training.copy_detection",
            file="copy-hash.safetensors",
        ),
        Model(
            name="robust-hash",
            purpose="dinohash-house-v2: a picture and its edited copies get nearly the same bits",
            architecture="EfficientNet-Lite0, generalised-mean pooling, 256 numbers and 96 bits",
            licence="see robust-hash.md beside the file",
            origin="trained for this package by provenance.training.copy_detection",
            file="robust-hash.safetensors",
        ),
        Model(
            name="con-vae-64",
            purpose="con-vae-64-v1: the published deep hash of 64 bits, with reconstruction",
            architecture="Con-VAE of convolutions, grey 128 pixels, 64 numbers",
            licence="see con-vae-64.md beside the file",
            origin="trained for this package by provenance.training.deephash",
            file="con-vae-64.safetensors",
        ),
        Model(
            name="con-vae-128",
            purpose="con-vae-128-v1: the published deep hash of 128 bits, with reconstruction",
            architecture="Con-VAE of convolutions, grey 128 pixels, 128 numbers",
            licence="see con-vae-128.md beside the file",
            origin="trained for this package by provenance.training.deephash",
            file="con-vae-128.safetensors",
        ),
        Model(
            name="edit-hash-64",
            purpose="edit-hash-64-v1: 64 bits that edits leave as they are; needs robust-hash",
            architecture="one layer over the features of robust-hash",
            licence="see edit-hash-64.md beside the file",
            origin="trained for this package by provenance.training.edit_hash",
            file="edit-hash-64.safetensors",
        ),
        Model(
            name="ai-detector",
            purpose="says how likely a picture was made by AI, from what text-image sees in it",
            architecture="linear support vector machine over features of the text-image model, calibrated",
            licence="see ai-detector.md beside the file",
            origin="trained for this package by provenance.training.detector",
            file="ai-detector.safetensors",
        ),
        Model(
            name="signature",
            purpose="signature-v1: writes 64 bits into a picture and reads them back after edits",
            architecture="two nets of dilated convolutions at half the resolution",
            licence="see signature.md beside the file",
            origin="trained for this package by provenance.training.robust_signature",
            file="signature.safetensors",
        ),
        Model(
            name="vqgan-f16-16384",
            purpose="paints artworks, published tier",
            architecture="VQGAN, f = 16, 16,384 codes of 256 numbers, ImageNet",
            licence="MIT",
            origin="Esser, Rombach and Ommer, Taming Transformers (CVPR 2021)",
            file="vqgan_imagenet_f16_16384.ckpt",
            size=980_000_000,
            # One file behind two addresses of its authors' share.
            urls=(
                f"{_TAMING}/f/867b05fc8c4841768640/?dl=1",
                f"{_TAMING}/d/a7530b09fed84f80a887/files/?p=%2Fckpts%2Flast.ckpt&dl=1",
            ),
        ),
        # OpenAI's own file is a TorchScript archive, which cannot be read without running what is in it. This is the
        # same model as plain tensors, repackaged by open_clip's authors.
        Model(
            name="clip-vit-b-32",
            purpose="says how well a picture fits a prompt, published tier",
            architecture="CLIP ViT-B/32, 224 pixels, QuickGELU, 512 numbers",
            licence="MIT (OpenAI's release), Apache-2.0 (this packaging of it)",
            origin="Radford et al., CLIP (ICML 2021); safetensors of open_clip's authors",
            file="clip-vit-b-32.openai.safetensors",
            size=605_000_000,
            urls=(f"{_OPENAI_CLIP}/open_clip_model.safetensors",),
        ),
        Model(
            name="dfn5b-vit-h-14-378",
            purpose="sees what a picture shows, for detectors of AI pictures, published tier",
            architecture="CLIP ViT-H/14, 378 pixels, QuickGELU, 1,280 numbers before the projection",
            licence=_APPLE,
            origin="Fang et al., Data Filtering Networks (ICLR 2024)",
            file="dfn5b-vit-h-14-378.bin",
            size=3_947_000_000,
            urls=(f"{_DFN5B}-378/resolve/main/{_BOTH_TOWERS}",),
        ),
        Model(
            name="dfn5b-vit-h-14",
            purpose="sees what a picture shows, for detectors of AI pictures, published tier",
            architecture="CLIP ViT-H/14, 224 pixels, QuickGELU, 1,280 numbers before the projection",
            licence=_APPLE,
            origin="Fang et al., Data Filtering Networks (ICLR 2024)",
            file="dfn5b-vit-h-14.bin",
            size=3_945_000_000,
            urls=(f"{_DFN5B}/resolve/main/{_BOTH_TOWERS}",),
        ),
        Model(
            name="siglip-so400m-14-384",
            purpose="sees what a picture shows, for detectors of AI pictures, published tier",
            architecture="SigLIP SO400M/14, 384 pixels, 1,152 numbers",
            licence="Apache-2.0",
            origin="Zhai et al., SigLIP (ICCV 2023)",
            file="siglip-so400m-14-384.bin",
            size=3_512_000_000,
            urls=(f"{_SIGLIP}-384/resolve/main/{_BOTH_TOWERS}",),
        ),
        Model(
            name="siglip-so400m-14",
            purpose="sees what a picture shows, for detectors of AI pictures, published tier",
            architecture="SigLIP SO400M/14, 224 pixels, 1,152 numbers",
            licence="Apache-2.0",
            origin="Zhai et al., SigLIP (ICCV 2023)",
            file="siglip-so400m-14.bin",
            size=3_509_000_000,
            urls=(f"{_SIGLIP}/resolve/main/{_BOTH_TOWERS}",),
        ),
        # Meta publishes no digests of these two; those here are on record with several who use the files.
        Model(
            name="dinov2-vit-b-14-reg",
            purpose="sees what a picture shows, for dinohash-v1 and dinohash-v1-512",
            architecture="DINOv2 ViT-B/14 with 4 registers, 768 numbers",
            licence="Apache-2.0",
            origin="Oquab et al., DINOv2 (2023); Darcet et al. (ICLR 2024)",
            file="dinov2_vitb14_reg4_pretrain.pth",
            size=346_393_545,
            sha256="73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
            urls=(f"{_META}/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth",),
        ),
        Model(
            name="dinov2-vit-s-14-reg",
            purpose="sees what a picture shows, for dinohash-vits-v1",
            architecture="DINOv2 ViT-S/14 with 4 registers, 384 numbers",
            licence="Apache-2.0",
            origin="Oquab et al., DINOv2 (2023); Darcet et al. (ICLR 2024)",
            file="dinov2_vits14_reg4_pretrain.pth",
            size=88_300_000,
            sha256="f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb",
            urls=(f"{_META}/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth",),
        ),
        # Sizes of the arrays by the scripts that wrote them, float32 behind NumPy's header of 128 bytes.
        Model(
            name="dinohash-vit-b-96-pca",
            purpose="directions of the bits of dinohash-v1",
            architecture="96 principal components of 768 numbers, from 100,000 pictures of DiffusionDB",
            licence=_NO_LICENCE,
            origin="DinoHash, arXiv 2503.11195",
            file="dinohash-vit-b-96-pca.npy",
            size=128 + 4 * 96 * 768,
            urls=(f"{_DINOHASH_B_96}/dinov2_vitb14_reg_PCA.npy",),
        ),
        Model(
            name="dinohash-vit-b-96-mean",
            purpose="centre of the features of dinohash-v1",
            architecture="768 numbers, from 100,000 pictures of DiffusionDB",
            licence=_NO_LICENCE,
            origin="DinoHash, arXiv 2503.11195",
            file="dinohash-vit-b-96-mean.npy",
            size=128 + 4 * 768,
            urls=(f"{_DINOHASH_B_96}/dinov2_vitb14_reg_means.npy",),
        ),
        Model(
            name="dinohash-vit-b-512-pca",
            purpose="directions of the bits of dinohash-v1-512",
            architecture="512 principal components of 768 numbers, from 1,000,000 pictures of DiffusionDB",
            licence=_NO_LICENCE,
            origin="DinoHash, arXiv 2503.11195",
            file="dinohash-vit-b-512-pca.npy",
            size=128 + 4 * 512 * 768,
            urls=tuple(f"{place}/dinov2_vitb14_reg_PCA.npy" for place in _DINOHASH_B_512),
        ),
        Model(
            name="dinohash-vit-b-512-mean",
            purpose="centre of the features of dinohash-v1-512",
            architecture="768 numbers, from 1,000,000 pictures of DiffusionDB",
            licence=_NO_LICENCE,
            origin="DinoHash, arXiv 2503.11195",
            file="dinohash-vit-b-512-mean.npy",
            size=128 + 4 * 768,
            urls=tuple(f"{place}/dinov2_vitb14_reg_means.npy" for place in _DINOHASH_B_512),
        ),
        Model(
            name="dinohash-vit-s-pca",
            purpose="directions of the bits of dinohash-vits-v1",
            architecture="384 principal components of 384 numbers, from its authors' later set of pictures",
            licence=_NO_LICENCE,
            origin="DinoHash, arXiv 2503.11195",
            file="dinohash-vit-s-pca.npy",
            size=128 + 4 * 384 * 384,
            urls=(f"{_DINOHASH_S}/dinov2_vits14_reg_PCA.npy",),
        ),
        Model(
            name="dinohash-vit-s-mean",
            purpose="centre of the features of dinohash-vits-v1",
            architecture="384 numbers, from its authors' later set of pictures",
            licence=_NO_LICENCE,
            origin="DinoHash, arXiv 2503.11195",
            file="dinohash-vit-s-mean.npy",
            size=128 + 4 * 384,
            urls=(f"{_DINOHASH_S}/dinov2_vits14_reg_means.npy",),
        ),
    )
}

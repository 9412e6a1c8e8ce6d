"""The published tier: VQGAN f16-16384 and CLIP ViT-B/32, in stock arithmetic or in exact."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from provenance.artwork.exact import ExactLinear, exact_sum, make_exact, square_root
from provenance.artwork.exact_layers import ExactGroupNorm, ExactLayerNorm, ExactSiLU, double, matmul, softmax
from provenance.artwork.nearest import nearest_codes
from provenance.models import clip, store, vqgan

_HEADS_WIDTH = 64
_CLIP_QUICK_GELU = 1.702


class PublishedModels:
    """See :class:`provenance.artwork.tiers.Models`."""

    stride = vqgan.STRIDE
    books = 1
    codes = vqgan.CODES
    crop_side = clip.SIDE

    def __init__(self, *, exact: bool) -> None:
        self.exact = exact
        self.vqgan = vqgan.load_vqgan(store.path(vqgan.NAME))
        self.clip = clip.load_clip(store.path(clip.NAME))
        self.codebook = self.vqgan.quantize.embedding.weight.detach()[None]
        if exact:
            self.decoder = ExactDecoder(self.vqgan)
            self.image = ExactImageTower(self.clip.image)
            self.text = ExactTextTower(self.clip)

    def look_up(self, codes: Tensor) -> Tensor:
        """See :class:`provenance.artwork.tiers.Models`."""
        return self.codebook[0][codes].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    def nearest(self, latent: Tensor) -> Tensor:
        """See :class:`provenance.artwork.tiers.Models`."""
        return nearest_codes(latent.contiguous(), self.codebook, exact=self.exact, unit=False)

    def decode(self, latent: Tensor) -> Tensor:
        """See :class:`provenance.artwork.tiers.Models`."""
        pixels: Tensor = self.decoder(latent) if self.exact else self.vqgan.decode(latent)
        return pixels

    def embed_crops(self, crops: Tensor) -> Tensor:
        """See :class:`provenance.artwork.tiers.Models`."""
        pixels = clip.normalise(crops / 255)
        embedding: Tensor = self.image(pixels) if self.exact else self.clip.image(pixels)
        return embedding

    @torch.no_grad()
    def embed_texts(self, texts: list[str]) -> Tensor:
        """See :class:`provenance.artwork.tiers.Models`."""
        if not self.exact:
            return self.clip.embed_text(texts)
        embeddings = torch.cat([self.text(text) for text in texts])
        return embeddings / square_root(exact_sum(embeddings * embeddings, (1,)))


class ExactDecoder(nn.Module):
    """The published VQGAN's decoder in exact arithmetic."""

    def __init__(self, published: vqgan.VQGAN) -> None:
        super().__init__()
        self.post_quant_conv = make_exact(published.post_quant_conv)
        self.decoder: Any = _exact_norms(make_exact(published.decoder))
        self.swish = ExactSiLU()

    def forward(self, latent: Tensor) -> Tensor:
        """Map ``[1, 256, h, w]`` to pixels, about -1 to 1, ``[1, 3, 16h, 16w]``."""
        decoder = self.decoder
        x = decoder.conv_in(self.post_quant_conv(latent))
        x = self._block(decoder.mid.block_2, self._attend(decoder.mid.attn_1, self._block(decoder.mid.block_1, x)))
        for level in reversed(decoder.up):
            for number, block in enumerate(level.block):
                x = self._block(block, x)
                if level.attn:
                    x = self._attend(level.attn[number], x)
            if hasattr(level, "upsample"):
                x = level.upsample.conv(double(x))
        pixels: Tensor = decoder.conv_out(self.swish(decoder.norm_out(x)))
        return pixels

    def _block(self, block: Any, x: Tensor) -> Tensor:
        y = block.conv1(self.swish(block.norm1(x)))
        y = block.conv2(self.swish(block.norm2(y)))
        shortcut: Tensor = block.nin_shortcut(x) if hasattr(block, "nin_shortcut") else x
        result: Tensor = shortcut + y
        return result

    def _attend(self, block: Any, x: Tensor) -> Tensor:
        y = block.norm(x)
        batch, channels, height, width = y.shape
        shape = (batch, channels, height * width)
        query, key, value = (part(y).reshape(shape) for part in (block.q, block.k, block.v))
        weights = softmax(matmul(query.transpose(1, 2), key) * channels**-0.5)
        seen = matmul(value, weights.transpose(1, 2)).reshape(y.shape)
        projected: Tensor = block.proj_out(seen)
        return x + projected


class ExactTransformer(nn.Module):
    """The residual attention blocks of one of CLIP's towers."""

    def __init__(self, published: Any) -> None:
        super().__init__()
        self.blocks: Any = nn.ModuleList(ExactTransformerBlock(block) for block in published.resblocks)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``[B, T, W]`` to the same shape; the mask, ``[T, T]``, is added before the softmax."""
        for block in self.blocks:
            x = block(x, mask)
        return x


class ExactTransformerBlock(nn.Module):
    """Attention and two linear maps, each after a norm and beside a shortcut."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.before, self.middle = ExactLayerNorm(block.ln_1), ExactLayerNorm(block.ln_2)
        joint = nn.Linear(1, 1)
        joint.weight, joint.bias = block.attn.in_proj_weight, block.attn.in_proj_bias
        self.joint, self.out = ExactLinear(joint), ExactLinear(block.attn.out_proj)
        self.wide, self.narrow = ExactLinear(block.mlp.c_fc), ExactLinear(block.mlp.c_proj)
        self.gelu = ExactSiLU(_CLIP_QUICK_GELU)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map ``[B, T, W]`` to the same shape."""
        batch, count, width = x.shape
        heads = width // _HEADS_WIDTH
        joint = self.joint(self.before(x)).view(batch, count, 3, heads, _HEADS_WIDTH).permute(2, 0, 3, 1, 4)
        query, key, value = joint.unbind(0)
        similar = matmul(query, key.transpose(-1, -2)) * _HEADS_WIDTH**-0.5
        # What the mask hides is far below what exp can show, and finite.
        weights = softmax(similar if mask is None else similar + mask.clamp(min=-1e4))
        seen = matmul(weights, value).transpose(1, 2).reshape(batch, count, width)
        x = x + self.out(seen)
        result: Tensor = x + self.narrow(self.gelu(self.wide(self.middle(x))))
        return result


class ExactImageTower(nn.Module):
    """CLIP's vision transformer in exact arithmetic."""

    first: Tensor
    places: Tensor

    def __init__(self, published: Any) -> None:
        super().__init__()
        self.patches = make_exact(published.conv1)
        self.register_buffer("first", published.class_embedding.detach())
        self.register_buffer("places", published.positional_embedding.detach())
        self.before, self.after = ExactLayerNorm(published.ln_pre), ExactLayerNorm(published.ln_post)
        self.transformer = ExactTransformer(published.transformer)
        self.project = _projection(published.proj)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels ``[B, 3, 224, 224]`` to embeddings ``[B, 512]``."""
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(patches), 1, -1), patches], 1) + self.places
        x = self.transformer(self.before(x))
        embedding: Tensor = self.project(self.after(x[:, 0]))
        return embedding


class ExactTextTower(nn.Module):
    """CLIP's text transformer in exact arithmetic."""

    places: Tensor
    mask: Tensor

    def __init__(self, published: clip.Clip) -> None:
        super().__init__()
        model = published.model
        self.tokenizer = published.tokenizer
        self.tokens = model.token_embedding
        self.register_buffer("places", model.positional_embedding.detach())
        self.register_buffer("mask", model.attn_mask)
        self.transformer = ExactTransformer(model.transformer)
        self.after = ExactLayerNorm(model.ln_final)
        self.project = _projection(model.text_projection)

    def forward(self, text: str) -> Tensor:
        """Return the embedding, ``[1, 512]``, of a text; its first 75 tokens count."""
        numbers = self.tokenizer([text])
        x = self.transformer(self.tokens(numbers) + self.places, self.mask)
        # The end of the text has the highest number of all tokens.
        last = int(numbers[0].argmax())
        embedding: Tensor = self.project(self.after(x[:, last]))
        return embedding


def _projection(matrix: Tensor) -> ExactLinear:
    linear = nn.Linear(1, 1, bias=False)
    linear.weight = nn.Parameter(matrix.detach().T.contiguous())
    return ExactLinear(linear)


def _exact_norms(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, ExactGroupNorm(child) if isinstance(child, nn.GroupNorm) else _exact_norms(child))
    return module

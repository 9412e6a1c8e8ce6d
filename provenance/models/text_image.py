"""The shipped text-image model: what a picture shows and what words say, as unit vectors of 512 numbers.

The image tower is EfficientNet-Lite0 taught by CLIP ViT-B/16, the text tower two small convolutions over word vectors,
trained against the image tower as it stands ("locked-image tuning", Zhai et al. 2022). Words outside the vocabulary
are made of their letters in threes (Bojanowski et al., "Enriching word vectors with subword information", 2017).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from provenance.models.efficientnet import CHANNELS, EfficientNetLite0
from provenance.models.words import split_words

SIDE = 96
EMBEDDING = 512
WIDTH = 256
TRIGRAM_BUCKETS = 4096
_MOST_TRIGRAMS = 16


class ImageTower(nn.Module):
    """Pixels in [-1, 1], ``[B, 3, SIDE, SIDE]``, to embeddings ``[B, EMBEDDING]``, not scaled to length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = EfficientNetLite0()
        self.project = nn.Linear(CHANNELS, EMBEDDING)

    def forward(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.project(self.features(pixels).mean((2, 3)))
        return embedding


def _total(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    return x.sum(dims, keepdim=True)


class TextTower(nn.Module):
    """Word and trigram numbers to embeddings ``[B, EMBEDDING]``, not scaled to length 1.

    Attributes:
        total: sums over dimensions and keeps them at 1; to be replaced where the order of a sum must not matter.
    """

    total: Callable[[Tensor, tuple[int, ...]], Tensor] = staticmethod(_total)

    def __init__(self, vocabulary: list[str]) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self._number = {word: number for number, word in enumerate(vocabulary, 1)}
        self.words = nn.Embedding(len(vocabulary) + 1, WIDTH, padding_idx=0)
        self.trigrams = nn.Embedding(TRIGRAM_BUCKETS + 1, WIDTH, padding_idx=0)
        self.near = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, (1, 3), padding=(0, 1)) for _ in range(2))
        self.wide = nn.Linear(WIDTH, 2 * EMBEDDING)
        self.out = nn.Linear(2 * EMBEDDING, EMBEDDING)
        for table in (self.words, self.trigrams):
            nn.init.normal_(table.weight, std=0.3)
            with torch.no_grad():
                table.weight[0].zero_()

    def tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return word numbers ``[B, T]`` and trigram numbers ``[B, T, 16]``, int64; 0 is nothing."""
        split = [split_words(text) for text in texts]
        longest = max(1, *(len(words) for words in split))
        words = torch.zeros(len(texts), longest, dtype=torch.long)
        trigrams = torch.zeros(len(texts), longest, _MOST_TRIGRAMS, dtype=torch.long)
        for row, found in enumerate(split):
            for column, word in enumerate(found):
                words[row, column] = self._number.get(word, 0)
                numbers = _trigrams(word)
                trigrams[row, column, : len(numbers)] = torch.tensor(numbers)
        return words, trigrams

    def forward(self, words: Tensor, trigrams: Tensor) -> Tensor:
        """Map the numbers that :meth:`tokens` gives to embeddings."""
        present = (trigrams > 0).sum(2, keepdim=True)
        x = self.words(words) + self.total(self.trigrams(trigrams), (2,))[:, :, 0] / present.clamp(min=1)
        mask = (present > 0).transpose(1, 2)[:, :, None].to(x.dtype)
        x = x.transpose(1, 2)[:, :, None]
        for conv in self.near:
            x = (x + functional.relu(conv(x))) * mask
        mean = self.total(x, (2, 3))[:, :, 0, 0] / mask.sum((2, 3)).clamp(min=1)
        embedding: Tensor = self.out(functional.relu(self.wide(mean)))
        return embedding


def _trigrams(word: str) -> list[int]:
    padded = f"<{word}>"
    # CRC-32 spreads well and is the same everywhere, unlike Python's own hash.
    return [
        1 + zlib.crc32(padded[at : at + 3].encode()) % TRIGRAM_BUCKETS
        for at in range(min(len(padded) - 2, _MOST_TRIGRAMS))
    ]

"""Which code of a codebook lies nearest to each place of a latent."""

from __future__ import annotations

import torch
from torch import Tensor

# Steps of 2^-16 up to 2^5: 256 products of two such numbers add up exactly in float64.
_STEPS, _LARGEST = 2.0**16, 2.0**5


def nearest_codes(latent: Tensor, codebooks: Tensor, *, exact: bool, unit: bool) -> Tensor:
    """Return the nearest codes.

    Args:
        latent: float32 ``[1, books * D, h, w]``.
        codebooks: float32 ``[books, codes, D]``.
        unit: the codes have length 1; then the latent's direction decides, otherwise the Euclidean distance.

    Returns:
        int64 ``[books, h, w]``. In exact arithmetic equals are decided for the lower number.
    """
    books, codes, width = codebooks.shape
    _, _, height, columns = latent.shape
    parts = latent.view(books, width, height * columns).transpose(1, 2)
    table = codebooks
    if exact:
        parts, table = ((part.double().clamp(-_LARGEST, _LARGEST) * _STEPS).round() for part in (parts, table))
    similar = torch.bmm(parts, table.transpose(1, 2))
    if not unit:
        # Of |z - c|^2 = |z|^2 - 2 z c + |c|^2 the first part is the same for every code.
        similar = 2 * similar - (table * table).sum(2)[:, None]
    if not exact:
        return similar.argmax(2).view(books, height, columns)
    best = similar.amax(2, keepdim=True)
    numbers = torch.arange(codes).expand_as(similar)
    return torch.where(similar == best, numbers, codes).amin(2).view(books, height, columns)

"""DinoHash: the signs of a network's centred and projected features (arXiv 2503.11195, section 4).

The published variants need weights from the model store: ``dinohash-v1`` (ViT-B/14, 96 bits), ``dinohash-v1-512``
(ViT-B/14) and ``dinohash-vits-v1`` (ViT-S/14, 96 bits); ``provenance.models.dinohash`` says what they are made of.

**Determinism.** Decoding and resizing are integer arithmetic. The network runs in float32 with the stock kernels of
PyTorch, whose sums differ in the last digits with the number of threads, the size of a batch and the instruction set:
by 2e-6 of a picture's typical logit where it was measured (ViT-S, 1 and 2 threads, batches of 1 to 16, SSE4 to
AVX-512). A bit whose logit is that near to 0 could turn. So every picture with a logit within :data:`NOISE` of 0, a
hundred times as much, is calculated again in float64, where the kernels differ by 5e-15: its bits are the signs of
those logits. What remains is a chance of about 1e-13 a bit. Other weights with rougher arithmetic show in
:func:`fragile_bits`.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from provenance.hashing.code import Fingerprint, HashCode
from provenance.hashing.detail import detail
from provenance.hashing.dihedral import dihedral
from provenance.images.decode import DecodeError, Limits, decode

if TYPE_CHECKING:
    from provenance.models.hash_net import HashNet

RGB = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float64]

# Of a float32 logit, in units of the picture's root mean square logit.
NOISE = 2e-4
BATCH = 16
# Pictures opened ahead of the network; each is held at the network's size only.
_AHEAD = 2 * BATCH
_LIMITS = Limits()


def fragile_bits(logits: npt.NDArray[np.floating], noise: float = NOISE) -> npt.NDArray[np.int64]:
    """Return for each picture how many of its bits lie within numerical noise of turning, int64 [N].

    Args:
        logits: float [N, bits].
        noise: what float32 arithmetic may add, in units of the picture's root mean square logit.
    """
    counts: npt.NDArray[np.int64] = _fragile(logits, noise).sum(axis=1, dtype=np.int64)
    return counts


def squared(picture: RGB, side: int) -> RGB:
    """Resize a uint8 [H,W,3] picture to [side, side, 3]: bilinear, antialiased, aspect not kept."""
    resized = Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized)


class DinoHash:
    """One hash of this family, published or ours. Safe to use from several threads.

    Attributes:
        algorithm: versioned id.
        length: bits of a code.
    """

    # See provenance.hashing.detail.
    minimum_quality = 0.75

    def __init__(self, algorithm: str, length: int, load: Callable[[], HashNet]) -> None:
        """Nothing is loaded before the first picture; ``load`` is then called once and may raise ModelError."""
        self.algorithm = algorithm
        self.length = length
        self._load = load
        self._loaded: HashNet | None = None
        self._lock = threading.Lock()

    @property
    def net(self) -> HashNet:
        """The network, on the CPU, in eval mode. Loads it: raises ``provenance.models.errors.ModelError``."""
        with self._lock:
            if self._loaded is None:
                net = self._load()
                if net.bits != self.length:
                    raise ValueError(f"{self.algorithm} has {self.length} bits, and its network makes {net.bits}")
                self._loaded = net.eval().requires_grad_(False)
            return self._loaded

    def load(self) -> None:
        """Load the network. Raises ``provenance.models.errors.ModelError``, ModelMissing where weights are not here."""
        _ = self.net

    def square(self, picture: RGB) -> RGB:
        """Return a picture as the network sees it, uint8 [side, side, 3]; see :func:`squared`."""
        return squared(picture, self.net.side)

    def logits(self, squares: Sequence[RGB]) -> Logits:
        """Return float64 [N, length] for pictures that :meth:`square` made; their signs are the bits, 0 gives 1."""
        found = [self._logits(squares[start : start + BATCH]) for start in range(0, len(squares), BATCH)]
        return np.concatenate(found) if found else np.empty((0, self.length))

    def hash(self, pictures: Sequence[RGB]) -> list[Fingerprint]:
        """Return one fingerprint for each uint8 [H,W,3] sRGB picture."""
        return self._fingerprints([self.square(picture) for picture in pictures])

    def hash_dihedral(self, picture: RGB) -> list[HashCode]:
        """Return the codes of the resized picture's eight variants in the order of ``dihedral.TRANSFORMS``."""
        return [self._code(row) for row in self.logits(dihedral(self.square(picture)))]

    def hash_files(
        self,
        sources: Iterable[Path | bytes],
        *,
        threads: int = 2,
        limits: Limits = _LIMITS,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Fingerprint | DecodeError | OSError]:
        """Hash files while others are read, decoded and resized in threads.

        Args:
            sources: paths, or what files hold; read a little ahead of the network, so they may be countless.
            threads: that decode; the network has PyTorch's own.
            limits: of what a file may ask for.
            progress: called with the number of files done, after each batch.

        Yields:
            For each source, in order, its fingerprint, or why there is none.
        """
        self.load()
        remaining, done = iter(sources), 0
        with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
            waiting: deque[Future[RGB | DecodeError | OSError]] = deque()
            try:
                while True:
                    for source in islice(remaining, _AHEAD - len(waiting)):
                        waiting.append(pool.submit(self._open, source, limits))
                    if not waiting:
                        return
                    opened = [waiting.popleft().result() for _ in range(min(BATCH, len(waiting)))]
                    # Nobody idles while the network works.
                    for source in islice(remaining, _AHEAD - len(waiting)):
                        waiting.append(pool.submit(self._open, source, limits))
                    squares = [square for square in opened if isinstance(square, np.ndarray)]
                    fingerprints = iter(self._fingerprints(squares))
                    done += len(opened)
                    if progress is not None:
                        progress(done)
                    for square in opened:
                        yield next(fingerprints) if isinstance(square, np.ndarray) else square
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _open(self, source: Path | bytes, limits: Limits) -> RGB | DecodeError | OSError:
        try:
            data = source if isinstance(source, bytes) else source.read_bytes()
            return self.square(decode(data, limits).pixels)
        except (DecodeError, OSError) as problem:
            return problem

    def _fingerprints(self, squares: Sequence[RGB]) -> list[Fingerprint]:
        fingerprints = []
        for square, row in zip(squares, self.logits(squares), strict=True):
            quality = detail(square)
            fingerprints.append(Fingerprint(self._code(row), quality, quality >= self.minimum_quality))
        return fingerprints

    def _code(self, logits: npt.NDArray[np.float64]) -> HashCode:
        return HashCode.from_array(self.algorithm, logits >= 0)

    def _logits(self, squares: Sequence[RGB]) -> Logits:
        import torch

        net = self.net
        pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            found = net(pixels.float() / 255).double()
            again = torch.from_numpy(_fragile(found.numpy(), NOISE).any(axis=1))
            if again.any():
                found[again] = copy.deepcopy(net).double()(pixels[again].double() / 255)
        logits: Logits = found.numpy()
        return logits


def _fragile(logits: npt.NDArray[np.floating], noise: float) -> npt.NDArray[np.bool_]:
    scale = np.sqrt(np.mean(np.square(logits, dtype=np.float64), axis=1, keepdims=True))
    near: npt.NDArray[np.bool_] = np.abs(logits) <= noise * scale
    return near


def _load_house(name: str) -> HashNet:
    from provenance.models import copy_net

    return copy_net.load_hash_net({"plain": copy_net.PLAIN_HASH, "robust": copy_net.ROBUST_HASH}[name])


def house_hasher() -> DinoHash:
    """Return the product's own hash, ``dinohash-house-v2``, trained against attacks, of which it
    withstands weak ones only (see its card); its weights are shipped."""
    return DinoHash("dinohash-house-v2", 96, partial(_load_house, "robust"))


def plain_house_hasher() -> DinoHash:
    """Return ``dinohash-house-v1``, the hash before it, which one attack turns over; its weights are shipped."""
    return DinoHash("dinohash-house-v1", 96, partial(_load_house, "plain"))


def _load_published(algorithm: str) -> HashNet:
    from provenance.models.dinohash import load_published

    return load_published(algorithm)


_PUBLISHED = {
    algorithm: DinoHash(algorithm, length, partial(_load_published, algorithm))
    for algorithm, length in (("dinohash-v1", 96), ("dinohash-v1-512", 512), ("dinohash-vits-v1", 96))
}


def published_hashers() -> dict[str, DinoHash]:
    """Return the published variants by algorithm. Their first use raises ModelMissing where their weights are not."""
    return dict(_PUBLISHED)

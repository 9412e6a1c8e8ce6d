"""From the two keys to the first latent and to every random choice of the loop.

Nothing here is drawn from a global seed: the first latent comes from SHAKE-256 (FIPS 202), everything else from
Philox-4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) under a key of its own for each
purpose and a counter that is the iteration.
"""

from __future__ import annotations

import hashlib
import unicodedata

import numpy as np
import numpy.typing as npt


def prompt_text(prompt: str) -> str:
    """Return the prompt as it is read and hashed: NFC (Unicode Standard Annex 15), line ends of one character, outer
    white space cut."""
    return unicodedata.normalize("NFC", prompt.replace("\r\n", "\n").replace("\r", "\n")).strip()


def prompt_bytes(prompt: str) -> bytes:
    """Return :func:`prompt_text` in UTF-8."""
    return prompt_text(prompt).encode()


def run_key(*, key: bytes, prompt: str, recipe_digest: str) -> bytes:
    """Bind the signature's key to the prompt and to everything the recipe says: 32 bytes."""
    words = prompt_bytes(prompt)
    digest = hashlib.blake2s(key=key, person=b"prov-run")
    digest.update(len(words).to_bytes(8, "big") + words + bytes.fromhex(recipe_digest))
    return digest.digest()


def prompt_key(prompt: str) -> bytes:
    """Return 32 bytes that the prompt alone decides."""
    return hashlib.blake2s(prompt_bytes(prompt), person=b"prov-pro").digest()


def first_codes(run: bytes, *, books: int, codes: int, height: int, width: int) -> npt.NDArray[np.int64]:
    """Expand a run's key to one code for each place of Z, each of the ``codes`` equally likely.

    Args:
        codes: size of a codebook, a power of two up to 65,536, so that a mask keeps the draw uniform.

    Returns:
        int64 ``[books, height, width]`` in ``0 .. codes - 1``.

    Raises:
        ValueError: the size is no such power of two.
    """
    if codes & (codes - 1) or not 2 <= codes <= 65536:
        raise ValueError(f"a codebook of {codes} codes cannot be drawn from by a mask")
    count = books * height * width
    stream = hashlib.shake_256(b"provenance/first-codes/v1" + run).digest(2 * count)
    drawn = np.frombuffer(stream, ">u2").astype(np.int64) & (codes - 1)
    return drawn.reshape(books, height, width)


class Draws:
    """Random numbers of one purpose in one iteration."""

    def __init__(self, run: bytes, purpose: str, iteration: int) -> None:
        digest = hashlib.blake2s(purpose.encode(), key=run, digest_size=16, person=b"prov-rng").digest()
        # An array: NumPy makes float64, and so loses bits, of a list that has numbers on both sides of 2^63.
        words = np.frombuffer(digest, ">u8").astype(np.uint64)
        # The lowest counter word counts within the iteration.
        self._bits = np.random.Philox(key=words, counter=[0, iteration, 0, 0])

    def words(self, count: int) -> npt.NDArray[np.uint64]:
        """Return 64 random bits each, ``[count]``."""
        return np.asarray(self._bits.random_raw(count), np.uint64)

    def uniform(self, count: int) -> npt.NDArray[np.float64]:
        """Return numbers in [0, 1) of 53 bits, ``[count]``."""
        return (self.words(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, count: int) -> npt.NDArray[np.float32]:
        """Return nearly standard normal numbers, ``[count]``: how many of 16 bits are set, centred and scaled.

        A binomial needs no logarithm, whose last bit depends on the machine.
        """
        bits = self.words(-(-count // 4)).astype("<u8").view("<u2")[:count]
        return np.asarray((np.bitwise_count(bits).astype(np.float32) - 8) / 2, np.float32)

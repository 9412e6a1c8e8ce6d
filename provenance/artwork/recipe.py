"""Everything that decides an artwork; its two secrets are in it as commitments only. Canonical and versioned."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

import rfc8785

from provenance.artwork.latent import prompt_bytes, prompt_text
from provenance.artwork.signature import SALT_BYTES, Signature, commit, opens
from provenance.models import store

ALGORITHM = "noisehash-v1"
MAX_PROMPT = 1000
MAX_EXCLUSIONS, MAX_EXCLUSION = 20, 60
# NoiseHashGAN, published code: what the text is told to stay away from.
DEFAULT_EXCLUSIONS = ("watermark", "cropped", "confusing", "incoherent", "cut", "blurry")
_MOST_ITERATIONS, _MOST_CROPS, _MOST_SIDE = 1000, 64, 512


class Mode(StrEnum):
    """Which arithmetic makes the picture."""

    CANONICAL = "canonical"
    FAST = "fast"


class Tier(StrEnum):
    """Which models make it: those in the package, or the published ones."""

    SHIPPED = "shipped"
    PUBLISHED = "published"


class Scheme(StrEnum):
    """How the signature becomes the first latent: by SHAKE-256, or as the paper has it, to compare."""

    XOF = "xof-v1"
    PAPER = "paper-v1"


class RecipeErrorCode(StrEnum):
    """What is wrong with what was asked for."""

    PROMPT_EMPTY = "prompt_empty"
    PROMPT_TOO_LONG = "prompt_too_long"
    EXCLUSIONS = "exclusions_invalid"
    NOT_A_PICTURE = "signature_not_a_picture"
    INVALID = "recipe_invalid"


class RecipeError(ValueError):
    """The recipe cannot be made or read; the message says what to do."""

    def __init__(self, code: RecipeErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Preset:
    """A size and an effort.

    Attributes:
        side: pixels of each side.
    """

    side: int
    iterations: int
    crops: int


PRESETS: dict[str, Preset] = {
    "draft": Preset(128, 40, 16),
    "standard": Preset(192, 110, 32),
    "fine": Preset(256, 250, 32),
}
_MODELS = {
    Tier.SHIPPED: ("small-vqgan", "text-image"),
    Tier.PUBLISHED: ("vqgan-f16-16384", "clip-vit-b-32"),
}


@dataclass(frozen=True)
class Fit:
    """Which of the two secrets are the ones committed to.

    Attributes:
        file: whether the signature is the very file, byte for byte; where only the key fits, it is another file of the
            same pixels.
    """

    prompt: bool
    key: bool
    file: bool


@dataclass(frozen=True)
class Recipe:
    """A recipe is public: neither the prompt nor the key can be read from it.

    Attributes:
        generator, guide: name and SHA-256 of the two models.
        side: pixels of each side, a multiple of 32.
        noise: standard deviation of the noise on the crops, as a share of full scale, at most.
        include, exclude: weights of the two terms of the loss, NoiseHashGAN's alpha and beta.
        salt: 16 bytes of both commitments, hex.
        prompt_commitment, key_commitment: see :func:`provenance.artwork.signature.commit`.
        file_commitment: to the bytes of the signature file. Of a picture the key is its pixels: should a later decoder
            read them otherwise, this still tells that it is the file.
    """

    algorithm: str
    scheme: Scheme
    mode: Mode
    tier: Tier
    generator: tuple[str, str]
    guide: tuple[str, str]
    side: int
    iterations: int
    crops: int
    noise: float
    learning_rate: float
    weight_decay: float
    include: float
    exclude: float
    exclusions: tuple[str, ...]
    salt: str
    prompt_commitment: str
    key_commitment: str
    file_commitment: str

    def to_json(self) -> bytes:
        """Return the one canonical form (RFC 8785)."""
        return rfc8785.dumps(
            {**asdict(self), "scheme": str(self.scheme), "mode": str(self.mode), "tier": str(self.tier)}
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form, 64 hex digits."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes | str) -> Recipe:
        """Read a recipe.

        Raises:
            RecipeError: it is no recipe of this version, or a value is out of range.
        """
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _invalid("it is not JSON") from error
        if not isinstance(found, dict) or set(found) != {field.name for field in fields(cls)}:
            raise _invalid("its fields are not those of a recipe")
        try:
            return _checked(found)
        except (TypeError, ValueError) as error:
            if isinstance(error, RecipeError):
                raise
            raise _invalid("a value has the wrong type") from error

    def fits(self, prompt: str, signature: Signature) -> Fit:
        """Say which of the two secrets open the commitments. Takes a sixth of a second: that is the point."""
        salt = bytes.fromhex(self.salt)
        return Fit(
            prompt=self.is_prompt(prompt),
            key=opens(self.key_commitment, b"key" + self.key_of(signature), salt),
            file=opens(self.file_commitment, b"file" + signature.byte_digest, salt),
        )

    def is_prompt(self, words: str) -> bool:
        """Say whether words are the prompt committed to."""
        return opens(self.prompt_commitment, b"prompt" + prompt_bytes(words), bytes.fromhex(self.salt))

    def key_of(self, signature: Signature) -> bytes:
        """Return the key, 32 bytes, that this recipe's scheme takes from a signature.

        Raises:
            RecipeError: the scheme is the paper's and the file is no picture.
        """
        return key_of(self.scheme, signature)


def key_of(scheme: Scheme, signature: Signature) -> bytes:
    """Return the key, 32 bytes, that a scheme takes from a signature. Raises as :meth:`Recipe.key_of`."""
    if scheme is Scheme.XOF:
        return signature.key
    if signature.paper_identity is None:
        raise RecipeError(RecipeErrorCode.NOT_A_PICTURE, "The paper's scheme takes a picture as the signature.")
    return signature.paper_identity.encode()


def check_prompt(prompt: str) -> None:
    """Refuse a prompt that says nothing or too much.

    Raises:
        RecipeError: so it is.
    """
    # As it is hashed: the same words in another Unicode form, or with other line ends, are no longer.
    words = prompt_text(prompt)
    if not words:
        raise RecipeError(RecipeErrorCode.PROMPT_EMPTY, "Say in words what the picture is to show.")
    if len(words) > MAX_PROMPT:
        raise RecipeError(
            RecipeErrorCode.PROMPT_TOO_LONG,
            f"The prompt has {len(words):,} characters; {MAX_PROMPT:,} is the most. Shorten it.",
        )
    try:
        words.encode()
    except UnicodeEncodeError:
        raise RecipeError(
            RecipeErrorCode.INVALID, "The prompt has a character that is not Unicode. Write it anew."
        ) from None


def make_recipe(
    *,
    prompt: str,
    signature: Signature,
    preset: Preset,
    mode: Mode = Mode.CANONICAL,
    scheme: Scheme = Scheme.XOF,
    tier: Tier = Tier.SHIPPED,
    exclusions: tuple[str, ...] = DEFAULT_EXCLUSIONS,
    salt: bytes | None = None,
) -> Recipe:
    """Write down how a work will be made.

    Args:
        salt: 16 random bytes; drawn where not given.

    Raises:
        RecipeError: the prompt or the exclusions cannot be used.
        provenance.models.store.ModelMissing: a model of the tier is not here.
    """
    check_prompt(prompt)
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    generator, guide = _MODELS[tier]
    return _checked(
        {
            "algorithm": ALGORITHM,
            "scheme": scheme,
            "mode": mode,
            "tier": tier,
            "generator": [generator, store.sha256(generator)],
            "guide": [guide, store.sha256(guide)],
            "side": preset.side,
            "iterations": preset.iterations,
            "crops": preset.crops,
            "noise": 0.22,
            "learning_rate": 0.5,
            "weight_decay": 0.1,
            "include": 1.0,
            "exclude": 0.5,
            "exclusions": list(exclusions),
            "salt": salt.hex(),
            "prompt_commitment": commit(b"prompt" + prompt_bytes(prompt), salt),
            "key_commitment": commit(b"key" + key_of(scheme, signature), salt),
            "file_commitment": commit(b"file" + signature.byte_digest, salt),
        }
    )


def _checked(found: Mapping[str, Any]) -> Recipe:
    if not all(isinstance(found[name], list) for name in ("generator", "guide", "exclusions")):
        raise _invalid("a list is none")
    recipe = Recipe(
        **{
            **found,
            "scheme": Scheme(found["scheme"]),
            "mode": Mode(found["mode"]),
            "tier": Tier(found["tier"]),
            "generator": tuple(found["generator"]),
            "guide": tuple(found["guide"]),
            "exclusions": tuple(found["exclusions"]),
        }
    )
    if recipe.algorithm != ALGORITHM:
        raise _invalid(f"its algorithm is {recipe.algorithm!r}, and this version knows {ALGORITHM}")
    whole = (recipe.side, recipe.iterations, recipe.crops)
    if any(type(value) is not int for value in whole):
        raise _invalid("a count is not a whole number")
    if not (32 <= recipe.side <= _MOST_SIDE and recipe.side % 32 == 0):
        raise _invalid(f"the side is not a multiple of 32 from 32 to {_MOST_SIDE}")
    if not (1 <= recipe.iterations <= _MOST_ITERATIONS and 1 <= recipe.crops <= _MOST_CROPS):
        raise _invalid("there are too many or too few iterations or crops")
    for value in (recipe.noise, recipe.learning_rate, recipe.weight_decay, recipe.include, recipe.exclude):
        if type(value) not in (int, float) or not 0 <= value <= 10:
            raise _invalid("a number is out of range")
    if len(recipe.exclusions) > MAX_EXCLUSIONS or not all(
        isinstance(word, str) and 0 < len(word.strip()) <= MAX_EXCLUSION for word in recipe.exclusions
    ):
        raise RecipeError(
            RecipeErrorCode.EXCLUSIONS,
            f"Exclude at most {MAX_EXCLUSIONS} words or phrases of at most {MAX_EXCLUSION} characters each.",
        )
    models = (recipe.generator, recipe.guide)
    if [name for name, _ in models] != list(_MODELS[recipe.tier]):
        raise _invalid("its models are not those of its tier")
    for _, sha256 in models:
        _hex(sha256, 32)
    _hex(recipe.salt, SALT_BYTES)
    _hex(recipe.prompt_commitment, 32)
    _hex(recipe.key_commitment, 32)
    _hex(recipe.file_commitment, 32)
    try:
        recipe.to_json()
    except rfc8785.CanonicalizationError as error:
        raise _invalid("a text in it is not Unicode") from error
    return recipe


def _hex(value: object, size: int) -> None:
    if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", value):
        raise _invalid(f"a digest is not {2 * size} hex digits in lower case")


def _invalid(why: str) -> RecipeError:
    return RecipeError(RecipeErrorCode.INVALID, f"This is not a usable recipe: {why}.")

"""Between the site and the library that makes artworks: what people send becomes its values, its errors become ours.

The library's parts that compute load large programs, so they are imported where they are used.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.template.defaultfilters import filesizeformat
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provenance.artwork import recipe as recipes
from provenance.artwork import words
from provenance.artwork.recipe import PRESETS, Mode, Preset, Recipe, RecipeError, RecipeErrorCode
from provenance.artwork.signature import Signature, SignatureError, SignatureErrorCode, read_signature
from provenance.models.store import ModelCorrupt, ModelError, ModelMissing
from webapp.errors import ErrorCode, ProductError

log = logging.getLogger(__name__)

PRESET_WORDS: dict[str, str | Promise] = {
    "draft": gettext_lazy("Draft"),
    "standard": gettext_lazy("Standard"),
    "fine": gettext_lazy("Fine"),
}
# A picture is decoded whole to become a key; one at a time bounds the memory that this takes.
_reading = threading.Lock()


@dataclass(frozen=True)
class Wish:
    """What a picture is to be made of, beside its two keys."""

    preset: str
    mode: Mode
    exclusions: tuple[str, ...]


def preset_words(name: str) -> str:
    """Return what a preset is called, with its size and effort."""
    preset = PRESETS[name]
    return _("%(name)s: %(side)d × %(side)d pixels, %(iterations)d iterations") % {
        "name": PRESET_WORDS.get(name, name.capitalize()),
        "side": preset.side,
        "iterations": preset.iterations,
    }


def exclusions_of(text: str) -> tuple[str, ...]:
    """Return the words or phrases of a text with commas between them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def signature_of(upload: File[bytes]) -> Signature:
    """Reduce an uploaded file to its key. Nothing of the file is kept.

    Raises:
        ProductError: it is empty or too large, or a picture that cannot be decoded here at present.
    """
    if (upload.size or 0) > settings.SIGNATURE_MAX_BYTES:
        raise _too_large(upload.size or 0)
    upload.seek(0)
    try:
        with _reading:
            return read_signature(upload)  # type: ignore[arg-type]  # a File has read(), which is all it takes
    except SignatureError as error:
        if error.code is SignatureErrorCode.TOO_LARGE:
            raise _too_large(upload.size or 0) from error
        if error.code is SignatureErrorCode.NOT_NOW:
            raise ProductError(
                ErrorCode.PICTURE_UNREADABLE, error.message, status=415, fields={"signature": [error.message]}
            ) from error
        message = _("The signature file is empty. Choose a file with content.")
        raise ProductError(ErrorCode.FILE_EMPTY, message, fields={"signature": [message]}) from error


def _too_large(size: int) -> ProductError:
    message = _("The signature file has %(size)s and the limit is %(limit)s. Choose a smaller file.") % {
        "size": filesizeformat(size),
        "limit": filesizeformat(settings.SIGNATURE_MAX_BYTES),
    }
    return ProductError(ErrorCode.FILE_TOO_LARGE, message, status=413, fields={"signature": [message]})


def check_prompt(prompt: str) -> None:
    """Refuse a prompt that says nothing or too much.

    Raises:
        ProductError: so it is.
    """
    with recipe_errors():
        recipes.check_prompt(prompt)


def recipe_make(*, prompt: str, signature: Signature, wish: Wish, preset: Preset | None = None) -> Recipe:
    """Write down how a work will be made.

    Args:
        preset: in place of the one that the wish names.

    Raises:
        ProductError: the prompt or the exclusions cannot be used, or the models are not here.
    """
    with recipe_errors():
        return recipes.make_recipe(
            prompt=prompt,
            signature=signature,
            preset=preset or PRESETS[wish.preset],
            mode=wish.mode,
            exclusions=wish.exclusions,
        )


def unknown_words(prompt: str) -> list[str]:
    """Return the words of a prompt that the text model never saw.

    Raises:
        ProductError: the model is not here.
    """
    with recipe_errors():
        return words.unknown_words(prompt)


@contextmanager
def recipe_errors() -> Iterator[None]:
    """Turn what is wrong with a recipe, or with the files of the models, into refusals that say what to do."""
    try:
        yield
    except RecipeError as error:
        raise _refusal_of(error) from error
    except ModelError as error:
        raise _unavailable(error) from error


@contextmanager
def generator_errors() -> Iterator[None]:
    """Like :func:`recipe_errors`, for what computes: it may find other models, or arithmetic that is not exact."""
    from provenance.artwork.exact import NotExact
    from provenance.artwork.tiers import WrongModel

    try:
        with recipe_errors():
            yield
    except (WrongModel, NotExact) as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> ProductError:
    log.error("pictures cannot be generated: %s", error)
    message = _("Pictures cannot be generated here at present. %(reason)s") % {"reason": _reason(error)}
    return ProductError(ErrorCode.GENERATOR_UNAVAILABLE, message, status=503)


def _reason(error: Exception) -> str:
    """Return what is wrong and the command that mends it. Where files lie on this machine is for its log only."""
    match error:
        case ModelMissing(command=str(command)):
            return _("The model %(name)s is missing; it is fetched by: %(command)s") % {
                "name": error.name,
                "command": command,
            }
        case ModelMissing() | ModelCorrupt():
            return _("The model %(name)s is missing or damaged; more is said by: provenance models verify") % {
                "name": error.name
            }
        case ModelError():
            return _("A model cannot be read; more is said by: provenance models verify")
        case _:
            return str(error)


def _refusal_of(error: RecipeError) -> ProductError:
    fields: dict[Any, tuple[str, str]] = {
        RecipeErrorCode.PROMPT_EMPTY: ("prompt", _("Say in words what the picture is to show.")),
        RecipeErrorCode.PROMPT_TOO_LONG: (
            "prompt",
            _("At most %(limit)d characters. Shorten the prompt.") % {"limit": recipes.MAX_PROMPT},
        ),
        RecipeErrorCode.EXCLUSIONS: (
            "exclusions",
            _("At most %(count)d words or phrases of at most %(length)d characters each, with commas between.")
            % {"count": recipes.MAX_EXCLUSIONS, "length": recipes.MAX_EXCLUSION},
        ),
    }
    field, message = fields.get(error.code, ("", error.message))
    return ProductError(ErrorCode.INVALID, message, fields={field: [message]} if field else None)

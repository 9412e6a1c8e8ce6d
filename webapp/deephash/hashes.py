"""Deep hashes by the id that codes are kept under: the shipped ones, and those trained here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

from django.utils.translation import gettext as _

from provenance.hashing.autoencoders import AutoencoderHash
from provenance.hashing.deephash import DEEP_HASHES, DeepHash
from provenance.matching.policy import Policy, deep_policy, derived
from provenance.models.errors import ModelError
from webapp.deephash.models import CatalogueHash, TrainedModel
from webapp.deephash.storage import Part, path_of
from webapp.errors import ErrorCode, ProductError

log = logging.getLogger(__name__)

# A check asks so many at most, and a process holds as many; 10 MB each.
MOST_ASKED = 8


@dataclass(frozen=True)
class Chosen:
    """A deep hash and how its distances are judged."""

    hasher: DeepHash
    policy: Policy


def chosen_hash(choice: CatalogueHash) -> Chosen:
    """Return the deep hash that a catalogue uses.

    Raises:
        provenance.models.errors.ModelMissing: its weights are not here; also when it is first used.
        KeyError: this program does not know it.
    """
    if choice.trained_model is not None:
        return trained_hash(choice.trained_model)
    return shipped_hash(choice.algorithm)


def shipped_hash(algorithm: str) -> Chosen:
    """Return one of the package's deep hashes.

    Raises:
        KeyError: there is no such one.
    """
    return Chosen(DEEP_HASHES[algorithm], deep_policy(algorithm))


def trained_hash(model: TrainedModel) -> Chosen:
    """Return a hash that was trained here; its thresholds say whether they were measured on what it learnt from."""
    policy = derived(model.algorithm, model.bits, variants=1, curve=tuple(model.curve))
    seen = ", one of which it did not learn from" if model.held_out else ", which it learnt from"
    policy = replace(policy, source=policy.source + seen)
    return Chosen(_loaded(model.pk.hex, model.algorithm, model.bits), policy)


@contextmanager
def hash_errors(choice: CatalogueHash) -> Iterator[None]:
    """Within it, a model that is not here or damaged is a refusal that says so.

    Raises:
        ProductError: it is.
    """
    try:
        yield
    except (ModelError, KeyError, OSError, ValueError) as error:
        log.exception("a deep hash could not be used: %s", choice.algorithm)
        raise ProductError(
            ErrorCode.GENERATOR_UNAVAILABLE,
            _("The model of the hash %(name)s is not here or damaged. Train or choose another.")
            % {"name": choice.algorithm},
            status=503,
        ) from error


@lru_cache(maxsize=MOST_ASKED)
def _loaded(model_hex: str, algorithm: str, bits: int) -> AutoencoderHash:
    import uuid

    from provenance.models.autoencoder_nets import load_autoencoder

    return AutoencoderHash(algorithm, bits, lambda: load_autoencoder(path_of(uuid.UUID(model_hex), Part.WEIGHTS)))

"""Deep hashes by the id that codes are kept under: the shipped ones, and those trained here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from provenance.hashing.autoencoders import AutoencoderHash
from provenance.hashing.deephash import DEEP_HASHES, DeepHash
from provenance.matching.policy import Policy, deep_policy, derived
from webapp.deephash.models import CatalogueHash, TrainedModel
from webapp.deephash.storage import Part, path_of

# Loaded at once in one process; 10 MB each.
_MOST_LOADED = 4


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
    """Return a hash that was trained here."""
    policy = derived(model.algorithm, model.bits, variants=1, curve=tuple(model.curve))
    return Chosen(_loaded(model.pk.hex, model.algorithm, model.bits), policy)


@lru_cache(maxsize=_MOST_LOADED)
def _loaded(model_hex: str, algorithm: str, bits: int) -> AutoencoderHash:
    import uuid

    from provenance.models.autoencoder_nets import load_autoencoder

    return AutoencoderHash(algorithm, bits, lambda: load_autoencoder(path_of(uuid.UUID(model_hex), Part.WEIGHTS)))

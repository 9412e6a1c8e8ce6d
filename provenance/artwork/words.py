"""What the models make of the words of a prompt, before anything is generated."""

from __future__ import annotations

from provenance.artwork.latent import prompt_text
from provenance.artwork.recipe import Tier
from provenance.models import store
from provenance.models.words import split_words, vocabulary


def unknown_words(prompt: str, tier: Tier = Tier.SHIPPED) -> list[str]:
    """Return the words of a prompt that the text tower was never taught, in lower case, each once, in order.

    It makes something of them by their letters. The published tier's tower knows pieces of which all words are made:
    to it none is unknown.

    Raises:
        provenance.models.store.ModelMissing: the tower's file is not here.
    """
    if tier is Tier.PUBLISHED:
        return []
    known = vocabulary(store.path("text-image"))
    return list(dict.fromkeys(word for word in split_words(prompt_text(prompt)) if word not in known))

"""What the models make of the words of a prompt, before anything is generated."""

from __future__ import annotations

import re

from provenance.artwork.latent import prompt_text
from provenance.artwork.recipe import Tier
from provenance.models import store
from provenance.models.words import MAX_WORDS, split_words, vocabulary

# Letters and digits of every script; the tower reads a to z and 0 to 9 only.
_WORD = re.compile(r"[^\W_]+")


def unknown_words(prompt: str, tier: Tier = Tier.SHIPPED) -> list[str]:
    """Return the words of a prompt that the text tower was never taught, in lower case, each once, in order.

    It makes something of them by their letters, of which it reads a to z only: a word of others says nothing to it.
    Those after the last that it reads are not named. The published tier's tower knows pieces of which all words are
    made: to it none is unknown.

    Raises:
        provenance.models.store.ModelMissing: the tower's file is not here.
    """
    if tier is Tier.PUBLISHED:
        return []
    known = vocabulary(store.path("text-image"))
    found: dict[str, None] = {}
    count = 0
    for word in _WORD.findall(prompt_text(prompt).lower()):
        if count >= MAX_WORDS:
            break
        count += len(split_words(word))
        if word not in known:
            found[word] = None
    return list(found)

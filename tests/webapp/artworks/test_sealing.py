"""What is sealed opens for its own context under the site's secrets, and for nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.artworks.sealing import SealBroken, seal, unseal


def test_it_works() -> None:
    sealed = seal(b"a red house", "job 1")
    assert unseal(sealed, "job 1") == b"a red house"
    assert b"red" not in sealed


def test_the_same_is_never_sealed_twice_alike() -> None:
    assert len({seal(b"a red house", "job 1") for _ in range(50)}) == 50


def test_nothing_can_be_put_in_anothers_place() -> None:
    with pytest.raises(SealBroken):
        unseal(seal(b"a red house", "job 1"), "job 2")


def test_every_altered_byte_is_noticed() -> None:
    sealed = seal(b"a", "job 1")
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(SealBroken):
            unseal(bytes(altered), "job 1")
    for end in range(len(sealed)):
        with pytest.raises(SealBroken):
            unseal(sealed[:end], "job 1")


def test_an_earlier_secret_opens_while_it_is_listed(settings: Any) -> None:
    sealed = seal(b"a", "x")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["other", settings.SECRET_KEY]
    assert unseal(sealed, "x") == b"a"
    settings.SECRET_KEY_FALLBACKS = ["other"]
    with pytest.raises(SealBroken):
        unseal(sealed, "x")

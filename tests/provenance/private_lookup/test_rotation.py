"""Changing keys: all of it or nothing, going on after an interruption, and the new keyholders answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.engine import Engine
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.registry import Registry
from provenance.private_lookup.rotation import rotate
from provenance.private_lookup.scheme import GROUPED
from tests.provenance.private_lookup.club import Club, random_code
from tests.provenance.private_lookup.conftest import TOY
from tests.provenance.private_lookup.keys import make_keys

COUNT = 20


def test_an_interrupted_rotation_goes_on_and_is_there_when_all_is(
    club: Club, engine_python: Path, tmp_path: Path
) -> None:
    old = club.registry(tmp_path / "old", [random_code(n) for n in range(COUNT)])
    before = old.signed
    agreement = replace(club.agreement, tau=10)
    asked: list[str] = []

    def code_of(name: str) -> bytes:
        asked.append(name)
        return random_code(int(name[1:])).bits

    def failing(name: str) -> bytes:
        if len(asked) == 10:
            raise BadInput("the picture is away")
        return code_of(name)

    with Engine(TOY, 2, agreement.digest, python=engine_python) as engine:
        keys, secrets = make_keys(engine, tmp_path)
        new = tmp_path / "new"
        with pytest.raises(BadInput, match="away"):
            rotate(old, new, agreement, failing, club.holder, keys, engine)
        assert not new.exists()
        assert old.signed == before
        # Meanwhile an entry that was done already is deleted, and one that was not.
        for name in ("e1", "e15"):
            old.delete([name], club.holder)
        asked.clear()
        told: list[tuple[int, int]] = []
        made = rotate(old, new, agreement, code_of, club.holder, keys, engine, lambda *some: told.append(some))
        assert asked == [f"e{n}" for n in range(8, COUNT) if n != 15]
        assert told[-1] == (COUNT - 2, COUNT - 2)
        assert made.living() == old.living()
        assert made.manifest.group == GROUPED
        assert made.manifest.catalogue == old.manifest.catalogue
        assert not (tmp_path / "new.unfinished").exists()
        query = engine.encrypt_query(keys, random_code(9).bits, GROUPED)
        block = made.manifest.blocks[1]
        output = engine.evaluate(
            keys,
            query,
            made.file(block),
            agreement.circuit(Policy.WHO),
            alive=block.slots(TOY.ring, alive=True),
            seed=b"seed",
            group=GROUPED,
        )
        shares = [
            engine.share_decryption(secret, output, lead=number == 0, mode="who", common=b"c")
            for number, secret in enumerate(secrets)
        ]
        (place,) = np.flatnonzero(engine.fuse(shares) == 0)
        assert made.ids(block)[place] == "e9"
        with pytest.raises(Refused, match="there already"):
            rotate(old, new, agreement, code_of, club.holder, keys, engine)
        with pytest.raises(Refused, match="does not hold"):
            rotate(old, tmp_path / "other", agreement, code_of, Identity.new("holder"), keys, engine)
    assert Registry(old.folder, club.agreement).manifest == old.manifest

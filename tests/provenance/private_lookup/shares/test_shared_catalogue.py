"""The holder's side: what it gives to whom, what it signs, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.identity import Identity, sign
from provenance.private_lookup.shares import catalogue as module
from provenance.private_lookup.shares.catalogue import Catalogue, open_block, read_manifest
from tests.provenance.private_lookup.club import ALGORITHM, random_code

SERVERS = [Identity.new(name) for name in ("archive", "museum", "library")]
HOLDER = Identity.new("holder")
AGREEMENT = Agreement(
    "shares-v1-96", ALGORITHM, 24, (Policy.BIT,), tuple(one.public for one in SERVERS), HOLDER.public
)
CODES = [random_code(number) for number in range(7)]


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    made = Catalogue.create(tmp_path / "pictures", AGREEMENT, HOLDER, "pictures")
    made.append([(f"e{number}", code.bits) for number, code in enumerate(CODES)], HOLDER)
    return made


def test_any_two_servers_have_the_codes_and_none_has_them_alone(catalogue: Catalogue) -> None:
    (block,) = catalogue.manifest.blocks
    opened = [
        open_block(catalogue.folder / one.name, block, AGREEMENT, place, one) for place, one in enumerate(SERVERS)
    ]
    codes = np.stack([np.unpackbits(np.frombuffer(code.bits, np.uint8)) for code in CODES], axis=1)
    for place, (own, other) in enumerate(opened):
        after = opened[(place + 1) % 3]
        assert np.array_equal(other, after[0])
        assert np.array_equal(own ^ other ^ after[1], codes)
        assert 0.4 < np.mean(own ^ other ^ codes) < 0.6
    with pytest.raises(BadInput, match="sealed box"):
        open_block(catalogue.folder / "archive", block, AGREEMENT, 0, SERVERS[1])


def test_the_same_codes_are_never_shared_out_the_same_way(catalogue: Catalogue) -> None:
    catalogue.append([(f"f{number}", code.bits) for number, code in enumerate(CODES)], HOLDER)
    first, second = catalogue.manifest.blocks
    assert not set(first.roots) & set(second.roots)
    assert len(set(catalogue.manifest.commitments)) == 3


def test_blocks_have_a_largest_size(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    more = [(f"m{number}", random_code(number).bits) for number in range(8)]
    with pytest.raises(BadInput, match="wrong form"):
        catalogue.append(more, HOLDER)
    fresh = Catalogue.create(catalogue.folder.parent / "fresh", AGREEMENT, HOLDER, "fresh")
    assert [block.used for block in fresh.append(more, HOLDER).blocks] == [3, 3, 2]
    assert fresh.names() == [name for name, _code in more]


def test_only_the_holder_makes_and_signs_it(catalogue: Catalogue, tmp_path: Path) -> None:
    other = Identity.new("holder")
    with pytest.raises(Refused, match="does not hold"):
        Catalogue.create(tmp_path / "new", AGREEMENT, other, "new")
    with pytest.raises(Refused, match="already"):
        Catalogue.create(catalogue.folder, AGREEMENT, HOLDER, "pictures")
    before = catalogue.signed
    with pytest.raises(BadInput, match="signature is wrong"):
        catalogue.append([("x", CODES[0].bits)], other)
    assert Catalogue(catalogue.folder, AGREEMENT).signed == before
    with pytest.raises(BadInput, match="is no private catalogue"):
        Catalogue(tmp_path, AGREEMENT)


def test_what_cannot_be_added_or_deleted_is_refused(catalogue: Catalogue) -> None:
    for entries in ([("e1", CODES[1].bits)], [("x", CODES[1].bits), ("x", CODES[2].bits)]):
        with pytest.raises(BadInput, match="there already"):
            catalogue.append(entries, HOLDER)
    with pytest.raises(BadInput, match="not of 96 bits"):
        catalogue.append([("x", b"short")], HOLDER)
    assert catalogue.delete(["e1"], HOLDER).entries == 6
    for name in ("e1", "none"):
        with pytest.raises(BadInput, match=f"no entry {name}"):
            catalogue.delete([name], HOLDER)


@pytest.mark.parametrize(
    "change",
    [
        {"roots": ["0" * 64, "1" * 64]},
        {"roots": ["0" * 62, "1" * 64, "2" * 64]},
        {"roots": 5},
        {"used": 0},
        {"used": (1 << 15) + 1},
        {"used": "many"},
        {"deleted": [7]},
        {"deleted": [2, 1]},
        {"deleted": [-1]},
    ],
)
def test_manifests_of_another_form_are_refused(catalogue: Catalogue, change: dict[str, object]) -> None:
    fields = catalogue.manifest.fields()
    whole = sign(HOLDER, "manifest of shares", AGREEMENT.digest, fields)
    assert replace(read_manifest(whole, AGREEMENT), id="") == replace(catalogue.manifest, id="")
    fields["blocks"][0].update(change)
    with pytest.raises(BadInput, match="missing or has the wrong form"):
        read_manifest(sign(HOLDER, "manifest of shares", AGREEMENT.digest, fields), AGREEMENT)

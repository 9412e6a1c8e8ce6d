"""A private catalogue: append, delete, compact; and that no hash lies in it in clear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from provenance.private_lookup.errors import BadInput, Refused
from provenance.private_lookup.identity import Identity, sign
from provenance.private_lookup.registry import Registry, read_manifest
from provenance.private_lookup.scheme import ALONE, GROUPED
from tests.provenance.private_lookup.club import Club, random_code
from tests.provenance.private_lookup.conftest import TOY


def rows(*numbers: int) -> list[tuple[str, bytes]]:
    return [(f"e{number}", random_code(number).bits) for number in numbers]


def test_blocks_are_filled_before_others_are_begun(club: Club, tmp_path: Path) -> None:
    registry = club.registry(tmp_path, [random_code(n) for n in range(TOY.ring - 2)])
    first = registry.manifest.blocks[0]
    manifest = registry.append(rows(2000, 2001, 2002), club.holder, club.keys, club.engine)
    assert [block.used for block in manifest.blocks] == [TOY.ring, 1]
    assert (manifest.sequence, manifest.entries) == (2, TOY.ring + 1)
    assert [registry.ids(block)[-1] for block in manifest.blocks] == ["e2001", "e2002"]
    # What was filled is a new file, and the old one is gone.
    assert not registry.file(first).path.exists()
    assert {path.suffix for path in tmp_path.iterdir()} == {".block", ".ids", ""}
    assert len(list(tmp_path.iterdir())) == 5
    again = Registry(tmp_path, club.agreement)
    assert again.manifest == manifest


def test_the_size_decides_about_the_kind_of_blocks_and_compacting_decides_anew(club: Club, tmp_path: Path) -> None:
    most, size = TOY.ring // 2, TOY.entries(GROUPED)
    registry = club.registry(tmp_path, [random_code(n) for n in range(size + 1)])
    assert registry.manifest.group == GROUPED
    assert [block.used for block in registry.manifest.blocks] == [size, 1]
    registry.append(rows(*range(size + 1, most + 1)), club.holder, club.keys, club.engine)
    assert registry.manifest.group == GROUPED
    codes = {f"e{n}": random_code(n).bits for n in range(most + 1)}
    manifest = registry.compact(codes.__getitem__, club.holder, club.keys, club.engine)
    assert (manifest.group, [block.used for block in manifest.blocks]) == (ALONE, [most + 1])
    registry.delete(["e0"], club.holder)
    manifest = registry.compact(codes.__getitem__, club.holder, club.keys, club.engine)
    assert (manifest.group, len(manifest.blocks), manifest.entries) == (GROUPED, most // size, most)
    assert registry.ids(manifest.blocks[0])[0] == "e1"
    assert len(list(tmp_path.iterdir())) == 1 + 2 * len(manifest.blocks)


def test_a_filled_block_lists_all_its_entries(club: Club, tmp_path: Path) -> None:
    registry = club.registry(tmp_path, [random_code(0)])
    manifest = registry.append(rows(1, 2), club.holder, club.keys, club.engine)
    (block,) = manifest.blocks
    assert block.size == registry.file(block).path.stat().st_size
    assert registry.ids(block) == ["e0", "e1", "e2"]
    assert np.flatnonzero(block.slots(TOY.ring, alive=False)).tolist() == [0, 1, 2]


def test_deleted_entries_are_marked_and_compacting_removes_them(club: Club, tmp_path: Path) -> None:
    registry = club.registry(tmp_path, [random_code(n) for n in range(5)])
    before = registry.manifest.blocks[0]
    registry.delete(["e1"], club.holder)
    manifest = registry.delete(["e3"], club.holder)
    (block,) = manifest.blocks
    assert (block.deleted, block.entries, block.sha256) == ((1, 3), 3, before.sha256)
    assert np.flatnonzero(block.slots(TOY.ring, alive=True)).tolist() == [0, 2, 4]
    with pytest.raises(BadInput, match="no entry e1"):
        registry.delete(["e1"], club.holder)
    with pytest.raises(BadInput, match="there already"):
        registry.append(rows(1), club.holder, club.keys, club.engine)
    codes = {f"e{n}": random_code(n).bits for n in range(5)}
    manifest = registry.compact(codes.__getitem__, club.holder, club.keys, club.engine)
    (block,) = manifest.blocks
    assert (block.used, block.deleted, registry.ids(block)) == (3, (), ["e0", "e2", "e4"])
    assert not registry.file(before).path.exists()
    registry.append(rows(1), club.holder, club.keys, club.engine)
    registry.delete(["e0", "e1", "e2", "e4"], club.holder)
    assert registry.compact(codes.__getitem__, club.holder, club.keys, club.engine).blocks == ()
    assert [path.name for path in tmp_path.iterdir()] == ["manifest"]


def test_no_hash_lies_in_a_catalogue_in_clear(club: Club, tmp_path: Path) -> None:
    codes = [random_code(n) for n in range(20)]
    registry = club.registry(tmp_path, codes)
    registry.delete(["e3"], club.holder)
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        for code in codes:
            assert code.bits not in data
            assert code.hex.encode() not in data
            assert code.bitstring().encode() not in data


def test_what_cannot_be_added_is_refused_and_changes_nothing(club: Club, tmp_path: Path) -> None:
    registry = club.registry(tmp_path / "one", [random_code(0)])
    before = registry.signed
    for entries, why in (
        (rows(0), "there already"),
        (rows(1, 1), "there already"),
        ([("e1", bytes(11))], "not of 96 bits"),
    ):
        with pytest.raises(BadInput, match=why):
            registry.append(entries, club.holder, club.keys, club.engine)
    with pytest.raises(BadInput):
        registry.append(rows(1), Identity.new("holder"), club.keys, club.engine)
    assert Registry(tmp_path / "one", club.agreement).signed == before
    with pytest.raises(Refused, match="has a catalogue"):
        Registry.create(tmp_path / "one", club.agreement, club.holder, "pictures")
    with pytest.raises(Refused, match="does not hold"):
        Registry.create(tmp_path / "two", club.agreement, Identity.new("holder"), "pictures")
    with pytest.raises(BadInput, match="no private catalogue"):
        Registry(tmp_path / "two", club.agreement)


def test_manifests_are_read_strictly(club: Club) -> None:
    block = {"sha256": "ab" * 32, "size": 1, "used": 2, "deleted": [0]}
    good = {"catalogue": "pictures", "sequence": 1, "group": 32, "blocks": [block]}

    def read(fields: dict[str, object]) -> None:
        read_manifest(sign(club.holder, "manifest", club.agreement.digest, fields), club.agreement)

    read(good)
    for wrong in (
        {"used": 0},
        {"used": TOY.entries(GROUPED) + 1},
        {"deleted": [2]},
        {"deleted": [1, 0]},
        {"deleted": [0, 0]},
        {"deleted": [-1]},
        {"sha256": "../../etc"},
        {"sha256": "ab"},
        {"size": "many"},
    ):
        with pytest.raises(BadInput, match="wrong form"):
            read({**good, "blocks": [{**block, **wrong}]})
    for fields in ({"catalogue": "pictures"}, {**good, "group": 2}):
        with pytest.raises(BadInput, match="wrong form"):
            read(fields)
    with pytest.raises(BadInput, match="no message"):
        read_manifest(sign(club.client, "manifest", club.agreement.digest, good), club.agreement)

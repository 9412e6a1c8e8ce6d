"""A finished work's record: one canonical form, read with suspicion."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from provenance.artwork import record as records
from provenance.artwork.recipe import RecipeError
from provenance.artwork.record import Record
from tests.artwork.samples import DIGEST, recipe, record


def as_json(**changes: Any) -> bytes:
    return json.dumps({**json.loads(record().to_json()), **changes}).encode()


def read_or_refuse(data: bytes) -> Record | None:
    try:
        found = Record.from_json(data)
    except RecipeError:
        return None
    again = Record.from_json(found.to_json())
    assert again.to_json() == found.to_json()
    assert np.array_equal(again.codes, found.codes)
    assert found.codes.dtype == np.int64
    assert found.codes.ndim == 3
    return found


def test_what_is_written_is_read() -> None:
    written = record().to_json()
    found = Record.from_json(written)
    assert found.recipe == recipe()
    np.testing.assert_array_equal(found.codes, record().codes)
    assert (found.latent_sha256, found.pixel_sha256) == (DIGEST, DIGEST[::-1])
    assert found.to_json() == written


def test_codes_are_big_endian_16_bit_numbers() -> None:
    found = json.loads(record().to_json())
    raw = base64.b64decode(found["codes"])
    assert found["shape"] == [2, 8, 8]
    assert raw[:6] == b"\0\0\0\7\0\x0e"
    assert len(raw) == 256


def test_every_code_of_16_bits_is_kept() -> None:
    codes = np.arange(65536, dtype=np.int64).reshape(1, 256, 256)
    found = Record.from_json(Record(recipe(), codes, DIGEST, DIGEST).to_json())
    np.testing.assert_array_equal(found.codes, codes)


WRONG: list[Any] = [
    None,
    True,
    7,
    10**400,
    -1,
    0.5,
    float("nan"),
    float("inf"),
    "",
    "AAA",
    "****",
    "é",
    "\ud800",
    "123",
    DIGEST.upper(),
    " ".join(DIGEST),
    [],
    [2, 8],
    [2, 8, 8, 1],
    [-1, 8, 8],
    [2, 8, -1],
    [2.0, 8, 8],
    ["2", "8", "8"],
    [True, 16, 8],
    [0, 8, 8],
    [2, 8, 9],
    [2**70, 8, 8],
    [1e400, 8, 8],
    [float("nan"), 8, 8],
    [[2], [8], [8]],
    {},
    {"0": 2, "1": 8, "2": 8},
]


@pytest.mark.parametrize("name", ["recipe", "shape", "codes", "latent_sha256", "pixel_sha256"])
def test_no_value_of_the_wrong_kind_gets_in(name: str) -> None:
    for value in WRONG:
        assert read_or_refuse(as_json(**{name: value})) is None, value
    found = json.loads(record().to_json())
    del found[name]
    assert read_or_refuse(json.dumps(found).encode()) is None


def test_another_shape_of_as_many_codes_is_read_as_it_says() -> None:
    found = read_or_refuse(as_json(shape=[8, 2, 8]))
    assert found is not None
    assert found.codes.shape == (8, 2, 8)


def test_a_record_with_a_forged_recipe_is_refused() -> None:
    changed = {**json.loads(recipe().to_json()), "side": 10**9}
    assert read_or_refuse(as_json(recipe=changed)) is None
    assert read_or_refuse(as_json(recipe=[changed])) is None
    assert read_or_refuse(as_json(recipe=json.dumps(changed))) is None


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"null", b"[]", b"7", b"{}", b"[" * 100_000, b'{"shape":' * 100_000, b"1" * 5000]
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    assert read_or_refuse(data) is None


@pytest.mark.parametrize("depth", [500, 5000, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    for name in ("recipe", "shape", "codes"):
        # Of two equal names the last counts.
        nested = f',"{name}":'.encode() + b"[" * depth + b"]" * depth + b"}"
        assert read_or_refuse(record().to_json()[:-1] + nested) is None


def test_a_record_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    written = record().to_json()
    monkeypatch.setattr(records, "_MOST_BYTES", len(written))
    assert read_or_refuse(written) is not None
    assert read_or_refuse(written + b" ") is None


def test_damage_is_refused_or_harmless() -> None:
    random = np.random.Generator(np.random.Philox(key=12))
    written = record().to_json()
    accepted = 0
    for _ in range(2000):
        data = bytearray(written)
        for _ in range(random.integers(1, 4)):
            at, kind = random.integers(len(data)), random.integers(3)
            if kind == 0:
                data[at] ^= 1 << random.integers(8)
            elif kind == 1:
                data[at] = random.choice(list(b'"{}[]:,0123456789eE+-.\\u'))
            else:
                del data[at : at + random.integers(1, 9)]
        accepted += read_or_refuse(bytes(data)) is not None
    assert 0 < accepted < 1500

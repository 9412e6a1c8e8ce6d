"""A recipe: one canonical form, public, read with suspicion."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from provenance.artwork import paper_v1
from provenance.artwork.recipe import (
    DEFAULT_EXCLUSIONS,
    MAX_PROMPT,
    PRESETS,
    Fit,
    Mode,
    Preset,
    Recipe,
    RecipeError,
    RecipeErrorCode,
    Scheme,
    Tier,
    check_prompt,
    make_recipe,
)
from provenance.artwork.signature import Signature, read_signature
from tests.artwork.conftest import PROMPT, SIGNATURE, TINY
from tests.artwork.samples import DIGEST, recipe

WRONG: list[Any] = [
    None,
    True,
    False,
    -1,
    0,
    63,
    10**6,
    10**400,
    0.5,
    -0.001,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "canonical ",
    "shipped\0",
    "\ud800",
    DIGEST,
    DIGEST.upper(),
    DIGEST[:-1] + " ",
    " ".join(DIGEST[:32]),
    "é" * 64,
    "１" * 32,
    "x" * 200_000,
    [],
    [[]],
    ["small-vqgan"],
    ["small-vqgan", DIGEST.upper()],
    ["small-vqgan", None],
    ["vqgan-f16-16384", DIGEST],
    ["small-vqgan", DIGEST, DIGEST],
    [""],
    [" "],
    ["\ud800"],
    ["x" * 61],
    ["word"] * 21,
    [1],
    [["word"]],
    {},
    {"small-vqgan": 1, DIGEST: 2},
    {"word": 1},
]


def as_json(**changes: Any) -> bytes:
    return json.dumps({**json.loads(recipe().to_json()), **changes}).encode()


def read_or_refuse(data: bytes | str) -> Recipe | None:
    """Whatever comes in: a recipe that can be written and read again, or a refusal by its own error."""
    try:
        found = Recipe.from_json(data)
    except RecipeError:
        return None
    again = Recipe.from_json(found.to_json())
    assert again == found
    assert again.digest == found.digest
    return found


def test_what_is_written_is_read() -> None:
    written = recipe().to_json()
    assert Recipe.from_json(written) == recipe()
    assert Recipe.from_json(written.decode()) == recipe()
    assert Recipe.from_json(written).to_json() == written


def test_the_form_is_canonical() -> None:
    """RFC 8785 for these types: keys in order, no white space, numbers as ECMAScript has them."""
    written = recipe().to_json().decode()
    found = json.loads(written)
    assert list(found) == sorted(found) == sorted(field.name for field in fields(Recipe))
    by_hand = json.dumps(found, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert written == by_hand
    assert '"include":1,' in written
    assert "trüb" in written
    assert recipe().digest == hashlib.sha256(written.encode()).hexdigest()


def test_white_space_order_and_the_spelling_of_numbers_change_nothing() -> None:
    found = json.loads(recipe().to_json())
    found["include"], found["exclude"] = 1.0, 5e-1
    shuffled = json.dumps(dict(reversed(found.items())), indent=3, ensure_ascii=True)
    assert Recipe.from_json(shuffled).digest == recipe().digest


def test_every_field_is_in_the_digest() -> None:
    others: dict[str, Any] = {
        "scheme": Scheme.PAPER,
        "mode": Mode.FAST,
        "generator": ("small-vqgan", DIGEST[::-1]),
        "guide": ("text-image", DIGEST),
        "side": 96,
        "iterations": 4,
        "crops": 5,
        "noise": 0.23,
        "learning_rate": 0.25,
        "weight_decay": 0.2,
        "include": 1.5,
        "exclude": 0.25,
        "exclusions": ("watermark",),
        "salt": DIGEST[1:33],
        "prompt_commitment": DIGEST[::-1],
        "key_commitment": DIGEST,
        "file_commitment": DIGEST[::-1],
        "algorithm": "noisehash-v2",
        "tier": Tier.PUBLISHED,
    }
    assert set(others) == {field.name for field in fields(Recipe)}
    digests = {replace(recipe(), **{name: value}).digest for name, value in others.items()}
    assert len(digests | {recipe().digest}) == len(others) + 1


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_no_value_of_the_wrong_kind_gets_in(name: str) -> None:
    kinds = json.loads(recipe().to_json())
    for value in WRONG:
        found = read_or_refuse(as_json(**{name: value}))
        if found is None:
            continue
        # What does get in is of the field's own kind and is kept as it came.
        kept = json.loads(found.to_json())[name]
        assert kept == value
        assert not isinstance(kept, bool)
        both_numbers = isinstance(value, int | float) and isinstance(kinds[name], int | float)
        assert both_numbers or type(value) is type(kinds[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"noise": 10**400},
        {"noise": True},
        {"noise": -0.01},
        {"include": float("nan")},
        {"exclude": float("inf")},
        {"learning_rate": 10.5},
        {"weight_decay": "0.1"},
        {"side": 100},
        {"side": 0},
        {"side": 544},
        {"side": 64.0},
        {"side": True},
        {"iterations": 0},
        {"iterations": 1001},
        {"crops": 0},
        {"crops": 65},
        {"mode": "Canonical"},
        {"tier": "mine"},
        {"scheme": "md5"},
        {"algorithm": "noisehash-v0"},
        {"generator": {"small-vqgan": 1, DIGEST: 2}},
        {"generator": ["text-image", DIGEST]},
        {"guide": ["clip-vit-b-32", DIGEST]},
        {"tier": "published"},
        {"exclusions": "watermark"},
        {"exclusions": ["\ud800"]},
        {"exclusions": ["x"] * 21},
        {"exclusions": ["x" * 61]},
        {"exclusions": ["  "]},
        {"salt": DIGEST[:30]},
        {"salt": DIGEST},
        {"salt": "00 " * 16},
        {"prompt_commitment": DIGEST.upper()},
        {"key_commitment": DIGEST + "00"},
        {"file_commitment": DIGEST[:-1]},
        {"extra": 1},
    ],
)
def test_what_must_be_refused_is_refused(changes: dict[str, Any]) -> None:
    assert read_or_refuse(as_json(**changes)) is None


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_every_field_must_be_there(name: str) -> None:
    found = json.loads(recipe().to_json())
    del found[name]
    assert read_or_refuse(json.dumps(found)) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"7",
        b'"recipe"',
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
        b'{"side":' + b"9" * 5000 + b"}",
        b"NaN",
        b"{'side': 64}",
    ],
)
def test_what_is_no_recipe_is_refused(data: bytes) -> None:
    assert read_or_refuse(data) is None


def test_deep_nesting_in_a_field_is_refused() -> None:
    written = recipe().to_json()
    for depth in (50, 2000, 100_000):
        nested = b'"exclusions":' + b"[" * depth + b"]" * depth + b',"file_commitment"'
        data = re.sub(rb'"exclusions":\[[^]]*\],"file_commitment"', nested, written)
        assert data != written
        assert read_or_refuse(data) is None


def test_damage_is_refused_or_harmless() -> None:
    """A few thousand recipes with flipped, lost and doubled bytes."""
    random = np.random.Generator(np.random.Philox(key=11))
    written = recipe().to_json()
    accepted = 0
    for _ in range(3000):
        data = bytearray(written)
        for _ in range(random.integers(1, 4)):
            at, kind = random.integers(len(data)), random.integers(4)
            if kind == 0:
                data[at] ^= 1 << random.integers(8)
            elif kind == 1:
                data[at] = random.choice(list(b'"{}[]:,0123456789eE+-.\\u'))
            elif kind == 2:
                del data[at : at + random.integers(1, 9)]
            else:
                data[at:at] = data[at : at + random.integers(1, 9)]
        found = read_or_refuse(bytes(data))
        accepted += found is not None
        assert found is None or found == recipe() or found.digest != recipe().digest
    assert 0 < accepted < 1500


def test_a_recipe_is_made_and_says_neither_prompt_nor_key(shipped: Path) -> None:
    made = make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY)
    written = made.to_json().decode()
    assert Recipe.from_json(written) == made
    for word in PROMPT.replace(",", "").split():
        assert len(word) < 4 or word not in written
    assert PROMPT.encode().hex() not in written
    assert SIGNATURE.key.hex() not in written
    for digest in (hashlib.sha256, hashlib.blake2s, hashlib.md5):
        assert digest(PROMPT.encode()).hexdigest() not in written
        assert digest(SIGNATURE.key).hexdigest() not in written
    assert (made.side, made.iterations, made.crops) == (TINY.side, TINY.iterations, TINY.crops)
    assert (made.noise, made.learning_rate, made.weight_decay, made.include, made.exclude) == (0.22, 0.5, 0.1, 1, 0.5)
    assert made.exclusions == DEFAULT_EXCLUSIONS
    assert made.generator[0] == "small-vqgan"
    assert made.guide[1] == hashlib.sha256((shipped / "text-image.safetensors").read_bytes()).hexdigest()


def test_every_recipe_has_a_salt_of_its_own(shipped: Path) -> None:
    one, other = (make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY) for _ in range(2))
    assert one.salt != other.salt
    assert one.prompt_commitment != other.prompt_commitment
    assert one.key_commitment != other.key_commitment
    fixed = [make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY, salt=bytes(16)) for _ in range(2)]
    assert fixed[0] == fixed[1]


def test_a_recipe_tells_each_secret_from_others(shipped: Path) -> None:
    made = make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY)
    other = Signature(byte_digest=b"\x01" + SIGNATURE.key[1:], pixel_digest=None)
    assert made.fits(PROMPT, SIGNATURE) == Fit(prompt=True, key=True, file=True)
    assert made.fits(f" {PROMPT}\n", SIGNATURE) == Fit(prompt=True, key=True, file=True)
    assert made.fits(PROMPT.upper(), SIGNATURE) == Fit(prompt=False, key=True, file=True)
    assert made.fits(PROMPT, other) == Fit(prompt=True, key=False, file=False)
    assert made.fits("", Signature(bytes(32), None)) == Fit(prompt=False, key=False, file=False)
    # The commitments are apart even where the secrets are the same.
    twin = make_recipe(prompt="x" * 32, signature=Signature(b"x" * 32, None), preset=TINY)
    assert len({twin.prompt_commitment, twin.key_commitment, twin.file_commitment}) == 3


def test_another_file_of_the_same_pixels_is_told_from_the_file(shipped: Path) -> None:
    signature = Signature(byte_digest=bytes(32), pixel_digest=b"\x05" * 32)
    made = make_recipe(prompt=PROMPT, signature=signature, preset=TINY)
    resaved = replace(signature, byte_digest=b"\x01" * 32)
    assert made.fits(PROMPT, resaved) == Fit(prompt=True, key=True, file=False)
    decoded_otherwise = replace(signature, pixel_digest=b"\x06" * 32)
    assert made.fits(PROMPT, decoded_otherwise) == Fit(prompt=True, key=False, file=True)


def test_a_pictures_pixels_are_the_key_that_fits(shipped: Path) -> None:
    signature = Signature(byte_digest=bytes(32), pixel_digest=b"\x05" * 32)
    made = make_recipe(prompt=PROMPT, signature=signature, preset=TINY)
    assert made.fits(PROMPT, Signature(byte_digest=b"\x09" * 32, pixel_digest=b"\x05" * 32)).key
    assert not made.fits(PROMPT, Signature(byte_digest=bytes(32), pixel_digest=None)).key


def test_the_papers_scheme_takes_the_papers_identity(shipped: Path) -> None:
    with pytest.raises(RecipeError) as refusal:
        make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY, scheme=Scheme.PAPER)
    assert refusal.value.code is RecipeErrorCode.NOT_A_PICTURE
    pixels = np.random.Generator(np.random.Philox(key=5)).integers(0, 256, (9, 13, 3), np.uint8)
    bmp = BytesIO()
    Image.fromarray(pixels).save(bmp, "BMP")
    signature = read_signature(BytesIO(bmp.getvalue()))
    assert signature.paper_identity == paper_v1.digest(np.ascontiguousarray(pixels[..., ::-1]))
    made = make_recipe(prompt=PROMPT, signature=signature, preset=TINY, scheme=Scheme.PAPER)
    assert made.key_of(signature) == signature.paper_identity.encode()
    assert made.fits(PROMPT, signature).key
    assert Recipe.from_json(made.to_json()) == made


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("", RecipeErrorCode.PROMPT_EMPTY),
        (" \n\t\u3000", RecipeErrorCode.PROMPT_EMPTY),
        ("x" * (MAX_PROMPT + 1), RecipeErrorCode.PROMPT_TOO_LONG),
        ("\ud800", RecipeErrorCode.INVALID),
    ],
)
def test_a_prompt_of_nothing_or_too_much_is_refused(shipped: Path, prompt: str, code: RecipeErrorCode) -> None:
    with pytest.raises(RecipeError) as refusal:
        make_recipe(prompt=prompt, signature=SIGNATURE, preset=TINY)
    assert refusal.value.code is code


def test_the_longest_prompt_is_taken(shipped: Path) -> None:
    made = make_recipe(prompt="é" * MAX_PROMPT, signature=SIGNATURE, preset=TINY)
    assert made.fits("é" * MAX_PROMPT, SIGNATURE).prompt


@pytest.mark.parametrize("spelling", ["e\u0301" * MAX_PROMPT, "\u3000" + "é" * MAX_PROMPT + "\r\n"])
def test_the_longest_prompt_is_taken_however_it_is_spelt(shipped: Path, spelling: str) -> None:
    made = make_recipe(prompt="é" * MAX_PROMPT, signature=SIGNATURE, preset=TINY)
    check_prompt(spelling)
    assert made.is_prompt(spelling)


@pytest.mark.parametrize("exclusions", [("x",) * 21, ("x" * 61,), ("",), ("ok", "  ")])
def test_exclusions_out_of_range_are_refused(shipped: Path, exclusions: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError) as refusal:
        make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY, exclusions=exclusions)
    assert refusal.value.code is RecipeErrorCode.EXCLUSIONS


def test_no_exclusions_are_fine(shipped: Path) -> None:
    assert make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY, exclusions=()).exclusions == ()


@pytest.mark.parametrize("preset", [Preset(60, 3, 3), Preset(64, 0, 3), Preset(64, 3, 0), Preset(1024, 3, 3)])
def test_sizes_out_of_range_are_refused(shipped: Path, preset: Preset) -> None:
    with pytest.raises(RecipeError):
        make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=preset)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_recipe(shipped: Path, name: str) -> None:
    preset = PRESETS[name]
    assert make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=preset).side == preset.side


def test_a_salt_of_another_length_is_refused(shipped: Path) -> None:
    with pytest.raises(RecipeError):
        make_recipe(prompt=PROMPT, signature=SIGNATURE, preset=TINY, salt=bytes(8))

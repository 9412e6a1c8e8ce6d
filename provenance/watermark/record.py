"""What is kept beside a signed picture: which number it has and which picture that was given to; no secret."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import rfc8785

from provenance.watermark.networks import ALGORITHM
from provenance.watermark.payload import NUMBER_BITS, TAG_BITS, Payload

RECORD_SCHEMA = "provenance.signature-record.v1"
RECIPE_SCHEMA = "provenance.signature-recipe.v1"
_MOST_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z0-9.-]{1,40}")


class NotARecord(ValueError):
    """The bytes are no record, or no recipe, of a signature; the message says what is wrong."""


@dataclass(frozen=True)
class Record:
    """A signed picture.

    Attributes:
        number: 0 to 2^24 - 1.
        hash_algorithm: versioned id of the perceptual hash, such as ``dinohash-house-v2``.
        hash: of the picture before it was signed, hex.
    """

    number: int
    hash_algorithm: str
    hash: str

    @property
    def subject(self) -> bytes:
        """What the signature's tag vouches for beside the number."""
        return subject_of(self.hash_algorithm, self.hash)

    def to_json(self) -> bytes:
        """Return the one canonical form (RFC 8785)."""
        return rfc8785.dumps(
            {
                "schema": RECORD_SCHEMA,
                "algorithm": ALGORITHM,
                "number": self.number,
                "hash_algorithm": self.hash_algorithm,
                "hash": self.hash,
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Record:
        """Read a record.

        Raises:
            NotARecord: it is none.
        """
        found = _loaded(data, RECORD_SCHEMA)
        name, value = found.get("hash_algorithm"), found.get("hash")
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise NotARecord("“hash_algorithm” names no algorithm")
        if not (isinstance(value, str) and re.fullmatch(r"([0-9a-f]{2}){1,128}", value)):
            raise NotARecord("“hash” must be hex digits")
        return cls(_number(found), name, value)


@dataclass(frozen=True)
class Recipe:
    """A generator's signature, which goes into every picture that it makes."""

    payload: Payload
    generator: str

    def to_json(self) -> bytes:
        """Return the one canonical form (RFC 8785)."""
        return rfc8785.dumps(
            {
                "schema": RECIPE_SCHEMA,
                "algorithm": ALGORITHM,
                "generator": self.generator,
                "number": self.payload.number,
                "tag": self.payload.tag.hex(),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Recipe:
        """Read a recipe.

        Raises:
            NotARecord: it is none.
        """
        found = _loaded(data, RECIPE_SCHEMA)
        tag, name = found.get("tag"), found.get("generator")
        if not (isinstance(tag, str) and re.fullmatch(rf"[0-9a-f]{{{TAG_BITS // 4}}}", tag)):
            raise NotARecord(f"“tag” must be {TAG_BITS // 4} hex digits")
        if not isinstance(name, str):
            raise NotARecord("“generator” must be a name")
        return cls(Payload(_number(found), bytes.fromhex(tag)), name)


def subject_of(hash_algorithm: str, value: str) -> bytes:
    """Return what a tag vouches for beside the number: a perceptual hash, hex, with its algorithm."""
    return f"{hash_algorithm}:{value}".encode()


def _loaded(data: bytes, schema: str) -> dict[str, Any]:
    if len(data) > _MOST_BYTES:
        raise NotARecord("it is too large")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotARecord("it is no JSON") from error
    if not isinstance(found, dict) or found.get("schema") != schema:
        raise NotARecord(f"its “schema” is not {schema}")
    if found.get("algorithm") != ALGORITHM:
        raise NotARecord(f"its “algorithm” is not {ALGORITHM}")
    return found


def _number(found: dict[str, Any]) -> int:
    number = found.get("number")
    if type(number) is not int or not 0 <= number < 1 << NUMBER_BITS:
        raise NotARecord(f"“number” must be a whole number from 0 to {(1 << NUMBER_BITS) - 1}")
    return number

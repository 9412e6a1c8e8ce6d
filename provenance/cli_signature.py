"""The command line's part for signatures: make a key, sign a picture, read who signed one.

A signature is a pointer, not a proof: it says which record a picture belongs to, and its tag that the key's owner
numbered that record. Exit status of ``read``: 0 genuine and of this picture (or of this generator), 1 none that is
genuine, or on another picture than it was given to, 2 bad input, 3 genuine, and whether it is of this picture cannot be
told.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from PIL import Image
from rich.console import Console

from provenance.images.decode import DecodeError, decode
from provenance.models.errors import ModelError
from provenance.watermark.key import KeyUnreadable, make_key, others_can_read, read_key
from provenance.watermark.payload import NUMBER_BITS, Payload, authentication_tag, is_genuine

if TYPE_CHECKING:
    from provenance.watermark.networks import RGB
    from provenance.watermark.read import Reading
    from provenance.watermark.record import Record

app = typer.Typer(add_completion=False)
out = Console()
err = Console(stderr=True)

DIFFERENT, BAD_INPUT, CANNOT_TELL = 1, 2, 3
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
KeyOption = Annotated[Path | None, typer.Option("--key-file", help="The key, as 'signing-key' made it.")]
RecipeOption = Annotated[Path | None, typer.Option("--recipe", help="A generator's recipe, as the site gave it out.")]


class Found(StrEnum):
    """What reading a picture comes to."""

    GENUINE = "genuine"
    COPIED = "copied"
    CANNOT_TELL = "cannot_tell"
    NOT_GENUINE = "not_genuine"
    NONE = "none"


_STATUS = {Found.GENUINE: 0, Found.COPIED: DIFFERENT, Found.NOT_GENUINE: DIFFERENT, Found.NONE: DIFFERENT}
_WORDS = {
    Found.GENUINE: "A genuine signature, and of this picture.",
    Found.COPIED: "A genuine signature, but by its hash this is not its picture: it was copied onto this one, or this "
    "one was cut or altered a lot, or is shown with much around it. Then cut that off and read again.",
    Found.CANNOT_TELL: "A genuine signature. Whether it is of this picture cannot be told: there is too little in it.",
    Found.NOT_GENUINE: "It has the number of a record, and was not made with this key for that record: made up, or "
    "misread.",
    Found.NONE: "No signature of what you named was found. It may have none, or one that edits have destroyed. "
    "Where other things are shown around it, cut them off and read again.",
}


@app.command("signing-key")
def signing_key(file: Annotated[Path, typer.Argument(help="Where the new key goes.")]) -> None:
    """Make a key for signing. Keep it: without it nobody can tell your signatures from made-up ones."""
    try:
        make_key(file)
    except FileExistsError:
        _refuse(f"{file} is there already. Choose another name.")
    except OSError as problem:
        _refuse(f"{file}: {problem.strerror}.")
    _line(f"{file} has the key; only you can read it.")


@app.command()
def sign(
    picture: Annotated[Path, typer.Argument(help="Picture file. It stays as it is.")],
    target: Annotated[Path, typer.Option("--out", help="Where the signed picture goes, as PNG.")],
    key_file: KeyOption = None,
    number: Annotated[
        int | None,
        typer.Option(min=0, max=(1 << NUMBER_BITS) - 1, help="Your number for the picture; by default a random one."),
    ] = None,
    recipe: RecipeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a signature into a picture that cannot be seen and that edits leave readable. Takes some seconds.

    It is fitted to the picture and tried on edited copies of it, which takes seconds, of a small or plain picture up to
    a minute.

    With a key it is bound to this picture, and a record goes beside it (FILE.json): keep it, 'read' asks for it. With a
    recipe it is the generator's own signature, the same in all its pictures, and there is no record.
    """
    if (key_file is None) == (recipe is None):
        _refuse("Name either a key by --key-file or a generator's recipe by --recipe.")
    if recipe is not None and number is not None:
        _refuse("The number is in the recipe. Leave --number out.")
    record_file = target.with_suffix(".json") if recipe is None else None
    _see_where_it_goes(target, record_file)
    from provenance.images.quality import psnr
    from provenance.watermark.presence import LIKELY, presence
    from provenance.watermark.read import read as read_signatures
    from provenance.watermark.record import Record
    from provenance.watermark.sign import see_room, sign_to_last

    with _problems_as_sentences():
        pixels = _pixels(picture)
        see_room(*pixels.shape[:2])
        answer: dict[str, Any] = {"picture": str(target)}
        if key_file is not None:
            key = _key(key_file)
            algorithm, value = _hash_to_bind(pixels, picture)
            record = Record(secrets.randbelow(1 << NUMBER_BITS) if number is None else number, algorithm, value)
            payload = Payload(record.number, authentication_tag(key, record.number, record.subject))
            answer |= {"record": str(record_file), "hash_algorithm": record.hash_algorithm, "hash": record.hash}
        else:
            assert recipe is not None
            payload = _recipe_payload(recipe)
        if presence(read_signatures(pixels)) >= LIKELY:
            err.print("The picture is probably signed already. In the new one that signature cannot be read any more.")
        with err.status("Fitting the signature to the picture"):
            signed = sign_to_last(pixels, payload)
        # The record first: a signed picture without one is of no use to anybody.
        if record_file is not None:
            with record_file.open("xb") as handle:
                handle.write(record.to_json())
        Image.fromarray(signed).save(target, "PNG")
    answer |= {"number": payload.number, "psnr_db": round(psnr(signed, pixels), 2)}
    _print(answer, as_json)


@app.command()
def read(
    picture: Annotated[Path, typer.Argument(help="Picture file.")],
    key_file: KeyOption = None,
    record: Annotated[
        Path | None, typer.Option("--record", help="The record of the signed picture, or a folder of records.")
    ] = None,
    recipe: RecipeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether a picture has a genuine signature, and whether it is the picture that was signed.

    The exit status is 0 where both hold, 1 where a genuine one is on another picture or there is none, 3 where the
    second cannot be told.
    """
    by_key = key_file is not None and record is not None
    if by_key == (recipe is not None) or (not by_key and (key_file or record)):
        _refuse("Name a key and a record by --key-file and --record, or a generator's recipe by --recipe.")
    from provenance.watermark.presence import presence
    from provenance.watermark.read import FALSE_ACCEPTANCE
    from provenance.watermark.read import read as look

    with _problems_as_sentences():
        pixels = _pixels(picture)
        if recipe is not None:
            wanted = _recipe_payload(recipe)
            readings = look(pixels)
            reading = next((one for one in readings if one.payload == wanted), None)
            found = Found.GENUINE if reading else _other(readings, {wanted.number})
            answer: dict[str, Any] = {"verdict": str(found), "words": _words_of_recipe(found)}
        else:
            assert key_file is not None
            assert record is not None
            key, records = _key(key_file), _records(record)
            readings = look(pixels)
            reading, fitting = _vouched(readings, key, records)
            if reading is None or fitting is None:
                found = _other(readings, {one.number for one in records})
                answer = {"verdict": str(found), "words": _WORDS[found]}
            else:
                found, figures = _bearing(pixels, fitting)
                answer = {"verdict": str(found), "words": _WORDS[found], **figures}
    if reading is not None:
        answer |= {
            "number": reading.payload.number,
            # Without the sign of a negative nought.
            "turned_degrees": round(reading.placement.turned, 1) + 0.0,
            "magnified": round(reading.placement.magnified, 3),
            "mirrored": reading.placement.mirrored,
            "fit": round(reading.fit, 3),
            "chance_of_a_false_reading": FALSE_ACCEPTANCE,
        }
    answer |= {"chance_that_it_was_signed": round(presence(readings), 4)}
    _print(answer, as_json)
    if status := _STATUS.get(found, CANNOT_TELL):
        raise typer.Exit(status)


def _vouched(
    readings: tuple[Reading, ...], key: bytes, records: list[Record]
) -> tuple[Reading, Record] | tuple[None, None]:
    """Return the first reading that the key's owner gave to one of the records, with that record."""
    for reading in readings:
        for record in records:
            if record.number == reading.payload.number and is_genuine(key, reading.payload, record.subject):
                return reading, record
    return None, None


def _other(readings: tuple[Reading, ...], numbers: set[int]) -> Found:
    return Found.NOT_GENUINE if any(one.payload.number in numbers for one in readings) else Found.NONE


def _bearing(pixels: RGB, record: Record) -> tuple[Found, dict[str, Any]]:
    from provenance.hashing.code import HashCode
    from provenance.matching.bearing import bearing, hasher_of

    try:
        hasher = hasher_of(record.hash_algorithm)
        original = HashCode.from_hex(record.hash_algorithm, record.hash)
        if not hasher.hash([pixels])[0].usable:
            return Found.CANNOT_TELL, {"hash_algorithm": record.hash_algorithm}
        found = bearing(hasher.hash_dihedral(pixels), original)
    except KeyError:
        _refuse(f"This program has no hash of the name {record.hash_algorithm}. A newer one may.")
    return (Found.GENUINE if found.same else Found.COPIED), found.figures()


def _words_of_recipe(found: Found) -> str:
    if found is Found.GENUINE:
        return "This generator's signature. It is the same in all its pictures, so that others can copy it too."
    return _WORDS[found]


def _hash_to_bind(pixels: RGB, picture: Path) -> tuple[str, str]:
    from provenance.matching.bearing import signed_hash

    found = signed_hash(pixels)
    if not found.usable:
        _refuse(
            f"{picture} has no large shapes by which it could be told from others, so that a signature could not be "
            "bound to it."
        )
    return found.code.algorithm, found.code.hex


def _records(path: Path) -> list[Record]:
    from provenance.watermark.record import NotARecord, Record

    if not path.is_dir():
        try:
            return [Record.from_json(path.read_bytes())]
        except NotARecord as problem:
            _refuse(f"{path} is no record of a signature: {problem}.")
    records = []
    for file in sorted(path.glob("*.json")):
        try:
            records.append(Record.from_json(file.read_bytes()))
        except NotARecord:
            # Other files may lie there too; one that should be a record is missed when it is asked for by its name.
            continue
    if not records:
        _refuse(f"{path} has no record of a signature.")
    return records


def _recipe_payload(path: Path) -> Payload:
    from provenance.watermark.record import NotARecord, Recipe

    try:
        return Recipe.from_json(path.read_bytes()).payload
    except NotARecord as problem:
        _refuse(f"{path} is no recipe of a generator's signature: {problem}.")


def _key(path: Path) -> bytes:
    key = read_key(path)
    if others_can_read(path):
        err.print(f"Others can read {path}: chmod 600 {path}", markup=False, highlight=False, soft_wrap=True)
    return key


def _pixels(path: Path) -> RGB:
    try:
        return decode(path.read_bytes()).pixels
    except DecodeError as problem:
        _refuse(f"{path}: {problem.message}")


def _see_where_it_goes(target: Path, record_file: Path | None) -> None:
    if target.suffix.lower() != ".png":
        _refuse("The signed picture is saved without loss: name a file that ends in .png.")
    if not target.parent.is_dir():
        _refuse(f"There is no folder {target.parent}. Make it first.")
    for file in (target, record_file):
        if file is not None and file.exists():
            _refuse(f"{file} is there already. Choose another name.")


@contextmanager
def _problems_as_sentences() -> Iterator[None]:
    from provenance.watermark.sign import CannotBeSigned

    try:
        yield
    except (KeyUnreadable, CannotBeSigned, ModelError) as problem:
        _refuse(str(problem))
    except OSError as problem:
        _refuse(f"{problem.filename}: {problem.strerror}.")


def _print(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(answer))
        return
    if "words" in answer:
        _line(answer["words"])
    for name, value in answer.items():
        if name not in ("words", "verdict"):
            words = "yes" if value is True else "no" if value is False else value
            if isinstance(value, float):
                words = f"{value:.4g}"
            _line(f"{name.replace('_', ' ').replace('psnr db', 'PSNR in dB'):<42}{words}")


def _line(words: str) -> None:
    out.print(words, markup=False, highlight=False, soft_wrap=True)


def _refuse(sentence: str) -> NoReturn:
    err.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT)

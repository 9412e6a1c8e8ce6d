"""The command line's part for artworks: generate one, prove one."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from provenance.artwork.recipe import (
    DEFAULT_EXCLUSIONS,
    PRESETS,
    Mode,
    RecipeError,
    Tier,
    check_prompt,
    make_recipe,
)
from provenance.artwork.signature import Signature, SignatureError, read_signature
from provenance.images.decode import DecodeError, decode

app = typer.Typer(add_completion=False)
out = Console()
err = Console(stderr=True)
DIFFERENT, BAD_INPUT = 1, 2
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
PromptOption = Annotated[
    str | None,
    typer.Option(help="The words. Asked for when left out, which keeps them out of the shell's history."),
]
SignatureOption = Annotated[Path, typer.Option("--signature", help="The signature: any file.")]


@app.command()
def generate(
    target: Annotated[Path, typer.Argument(help="Where the picture goes, as PNG; its record goes beside it.")],
    signature: SignatureOption,
    prompt: PromptOption = None,
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "standard",
    mode: Annotated[Mode, typer.Option(help="canonical can be proved bit for bit; fast is a draft.")] = Mode.CANONICAL,
    tier: Annotated[Tier, typer.Option(help="Which models: the small ones in the package or the published ones.")] = (
        Tier.SHIPPED
    ),
    exclude: Annotated[
        list[str] | None, typer.Option(help="What the picture must not look like; repeat for more.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Generate a picture from a prompt and a signature file. Keep both: only they make it again."""
    from provenance.artwork.generator import generate as make
    from provenance.artwork.record import Record

    if preset not in PRESETS:
        _refuse(f"There is no preset {preset}. Choose one of {', '.join(PRESETS)}.")
    if target.suffix.lower() != ".png":
        _refuse("The picture is saved without loss: name a file that ends in .png.")
    if not target.parent.is_dir():
        _refuse(f"There is no folder {target.parent}. Make it first.")
    record_file = target.with_suffix(".json")
    for file in (target, record_file):
        if file.exists():
            _refuse(f"{file} is there already. Choose another name.")
    with _problems_as_sentences():
        _see_that_it_can_be_written(record_file)
        # A slip that nobody sees would make a work that nobody can prove.
        words = _words(prompt, twice=True)
        found = _signature(signature)
        recipe = make_recipe(
            prompt=words,
            signature=found,
            preset=PRESETS[preset],
            mode=mode,
            tier=tier,
            exclusions=tuple(exclude) if exclude else DEFAULT_EXCLUSIONS,
        )
        with _progress(recipe.iterations, "Generating") as report:
            artwork = make(recipe, words, recipe.key_of(found), on_iteration=report)
        record_file.write_bytes(Record.of(recipe, artwork).to_json())
        Image.fromarray(artwork.pixels).save(target)
    answer = {
        "picture": str(target),
        "record": str(record_file),
        "recipe_digest": recipe.digest,
        "pixel_sha256": artwork.pixel_sha256,
        "latent_sha256": artwork.latent_sha256,
        "mode": str(recipe.mode),
        "seconds": round(artwork.seconds, 1),
    }
    _print(answer, as_json)


@app.command()
def prove(
    record: Annotated[Path, typer.Argument(help="The record that lies beside the picture.")],
    signature: Annotated[Path | None, typer.Option(help="The signature: any file.")] = None,
    picture: Annotated[Path | None, typer.Option(help="The picture; by default the PNG beside the record.")] = None,
    prompt: PromptOption = None,
    codes_only: Annotated[
        bool, typer.Option("--codes-only", help="Only decode the codes of the record: seconds, and no secret.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a work again from its two secrets and say whether it is the same, bit for bit.

    The exit status is 0 where it is and both secrets are those that the record commits to.
    """
    from provenance.artwork import proof
    from provenance.artwork.record import Record
    from provenance.hashing.code import hamming
    from provenance.hashing.pdq import Pdq

    if signature is None and not codes_only:
        _refuse("Name the signature file by --signature, or say --codes-only.")
    with _problems_as_sentences():
        registered = Record.from_json(record.read_bytes())
        beside = record.with_suffix(".png")
        if picture is None and not beside.exists():
            _refuse(f"{beside}: No such file. Name the picture by --picture.")
        data = (picture or beside).read_bytes()
        pixels = decode(data).pixels
        side = registered.recipe.side
        if pixels.shape != (side, side, 3):
            found_size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            _refuse(f"The picture has {found_size} pixels, and the record's has {side} x {side}.")
        if signature is None or codes_only:
            _print_redecoded(proof.redecodes(registered.recipe, registered.codes, pixels), as_json)
            return
        words = _words(prompt)
        found = _signature(signature)
        with _progress(registered.recipe.iterations, "Making it again") as report:
            result = proof.prove(
                registered.recipe,
                words,
                found,
                pixels=pixels,
                codes=registered.codes,
                latent_sha256=registered.latent_sha256,
                on_iteration=report,
            )
    answer = {
        "verdict": str(result.verdict),
        "prompt_fits": result.fit.prompt,
        "signature_fits": result.fit.key,
        "signature_is_the_very_file": result.fit.file,
        "codes_decode_to_the_picture": result.redecoded,
        "codes_equal": result.codes_equal,
        "latent_equal": result.latent_equal,
        **asdict(result.likeness),
        "hash_distance_of_256": hamming(*(found.code for found in Pdq().hash([result.artwork.pixels, pixels]))),
        "seconds": round(result.artwork.seconds, 1),
    }
    _print(answer, as_json)
    if not result.redecoded:
        err.print("The record's codes do not make this picture: one of the two was altered or damaged.")
        raise typer.Exit(DIFFERENT)
    # A recipe can be written under which other secrets come to the same picture; that proves nothing of theirs.
    if not (result.verdict is proof.ProofVerdict.IDENTICAL and result.fit.prompt and result.fit.key):
        raise typer.Exit(DIFFERENT)


def _print_redecoded(same: bool, as_json: bool) -> None:
    _print({"codes_decode_to_the_picture": same}, as_json)
    if not same:
        raise typer.Exit(DIFFERENT)


def _see_that_it_can_be_written(file: Path) -> None:
    """Find out before the minutes of a generation, not after them."""
    with file.open("xb"):
        pass
    file.unlink()


def _words(prompt: str | None, *, twice: bool = False) -> str:
    if prompt is None:
        prompt = str(typer.prompt("Prompt", hide_input=True, confirmation_prompt=twice, err=True))
    check_prompt(prompt)
    return prompt


def _signature(path: Path) -> Signature:
    with path.open("rb") as handle:
        return read_signature(handle)


@contextmanager
def _problems_as_sentences() -> Any:
    from provenance.artwork.exact import NotExact
    from provenance.artwork.tiers import WrongModel
    from provenance.models.store import ModelError

    try:
        yield
    except (RecipeError, SignatureError, DecodeError) as problem:
        _refuse(problem.message)
    except (ModelError, WrongModel, NotExact, ValueError) as problem:
        _refuse(str(problem))
    except OSError as problem:
        _refuse(f"{problem.filename}: {problem.strerror}.")


@contextmanager
def _progress(total: int, words: str) -> Any:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(words, total=total)
        report: Callable[[Any], None] = lambda iteration: progress.update(task, completed=iteration.number)  # noqa: E731
        yield report


def _print(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(answer))
        return
    for name, value in answer.items():
        words = "yes" if value is True else "no" if value is False else "-" if value is None else value
        out.print(f"{name.replace('_', ' '):<28}{words}", markup=False, highlight=False, soft_wrap=True)


def _refuse(sentence: str) -> NoReturn:
    # Whole lines: a command that is broken in two cannot be copied.
    err.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT)

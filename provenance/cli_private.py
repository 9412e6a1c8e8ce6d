"""The command line's part for private catalogues: set the engine up."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console

from provenance.private_lookup import engine_setup
from provenance.private_lookup.errors import PrivateLookupError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The engine of private catalogues.")
out = Console()
err = Console(stderr=True)
BAD_INPUT = 2


@app.command()
def setup() -> None:
    """Install OpenFHE, for a Python that it has a wheel for, unless it is here; print that interpreter."""
    try:
        _line(str(engine_setup.set_up()))
    except PrivateLookupError as problem:
        _end(problem)


@app.command()
def engine() -> None:
    """Print the interpreter that private look-ups run under, or say what is missing."""
    try:
        _line(str(engine_setup.find()))
    except PrivateLookupError as problem:
        _end(problem)


def _line(words: str) -> None:
    out.print(words, markup=False, highlight=False, soft_wrap=True)


def _end(problem: PrivateLookupError) -> NoReturn:
    err.print(str(problem), style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT) from problem

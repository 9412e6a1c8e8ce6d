"""The command line's part for who keeps a share of an encrypted catalogue's key, and for the engine."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from provenance.cli_members import (
    FolderArgument,
    PassphraseOption,
    add_member_commands,
    ask_passphrase,
    line,
    problems_as_sentences,
)
from provenance.private_lookup import engine_setup
from provenance.private_lookup.engine import Limits
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.service import serve
from provenance.private_lookup.tls import parse_address

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The engine of private catalogues.")
keyholders = typer.Typer(no_args_is_help=True, add_completion=False, help="Keep a share of a private catalogue's key.")
add_member_commands(keyholders, Keyholder)

_LOOK_AGAIN = 1.0

MemoryOption = Annotated[
    float | None, typer.Option("--memory", min=1, help="GiB that engines may use, for blocks too.")
]
CoresOption = Annotated[int | None, typer.Option("--cores", min=1, help="Processors to keep busy; all by default.")]


@app.command()
def setup() -> None:
    """Install OpenFHE, for a Python that it has a wheel for, unless it is here; print that interpreter."""
    with problems_as_sentences():
        line(str(engine_setup.set_up()))


@app.command()
def engine() -> None:
    """Print the interpreter that private look-ups run under, or say what is missing."""
    with problems_as_sentences():
        line(str(engine_setup.find()))


@keyholders.command()
def generate(
    folder: FolderArgument,
    exchange: Annotated[Path, typer.Argument(help="A folder that all keyholders share, by whatever means.")],
    wait: Annotated[
        bool, typer.Option(help="Go on until the keys are there, instead of saying what is missing.")
    ] = True,
    passphrase: PassphraseOption = None,
) -> None:
    """Take part in making the joint keys."""
    with problems_as_sentences(), Keyholder(folder, ask_passphrase(passphrase)) as keyholder:
        exchange.mkdir(exist_ok=True)
        said = ""
        while (missing := keyholder.generate(exchange)) is not None:
            if missing != said:
                line(f"Waiting for {missing}.")
            if not wait:
                return
            said = missing
            time.sleep(_LOOK_AGAIN)
        line(f"The joint keys are in {folder / 'keys'}.")


@keyholders.command("serve")
def serve_keyholder(
    folder: FolderArgument,
    catalogue: Annotated[Path, typer.Option("--catalogue", help="Folder of the catalogue's blocks and manifest.")],
    at: Annotated[
        Path | None, typer.Option("--socket", help="Where to answer; only this user may write to it.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port to answer at instead, over TLS, to admitted clients and the holder.")
    ] = None,
    recomputed: Annotated[
        int | None,
        typer.Option(min=1, help="Compute only so many blocks again, chosen at random, before a share is given."),
    ] = None,
    cores: CoresOption = None,
    memory: MemoryOption = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Check questions, and answer with shares, until Ctrl-C."""
    if (at is None) == (listen is None):
        raise typer.BadParameter("Give either --socket or --listen.")
    limits = Limits(memory=in_bytes(memory), threads=cores or usable_cores())
    opened = Keyholder(folder, ask_passphrase(passphrase), registry=catalogue, recomputed=recomputed, limits=limits)
    with problems_as_sentences(), opened as keyholder:
        where = at or parse_address(listen or "")
        serve(keyholder, where, ready=lambda _port: line(f"{keyholder.identity.name} answers at {at or listen}."))


def usable_cores() -> int:
    """Return what OMP_NUM_THREADS says, as for everything else that counts, or all that this process may use."""
    return int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))


def in_bytes(gibibytes: float | None) -> int | None:
    """Return what an option in GiB says."""
    return None if gibibytes is None else int(gibibytes * (1 << 30))

"""What the commands of every member have in common: folders, passphrases, and problems as sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.errors import BadInput, PrivateLookupError
from provenance.private_lookup.identity import Identity, PublicIdentity, Vault
from provenance.private_lookup.journal import read_journal
from provenance.private_lookup.member import Member

out = Console()
err = Console(stderr=True)

BAD_INPUT = 2

FolderArgument = Annotated[Path, typer.Argument(help="The member's own folder.")]
PassphraseOption = Annotated[
    str | None,
    typer.Option(
        envvar="PROVENANCE_PASSPHRASE",
        show_envvar=True,
        help="Opens the folder's secrets. Asked for when left out, which keeps it out of the shell's history.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def add_member_commands(app: typer.Typer, member: type[Member]) -> None:
    """Add what keyholders and shareholders do alike."""

    @app.command()
    def create(
        folder: FolderArgument,
        name: Annotated[str, typer.Argument(help="Letters, digits and '-'.")],
        passphrase: PassphraseOption = None,
    ) -> None:
        """Make the folder. Give the printed file to the others; keep the folder and its passphrase."""
        with problems_as_sentences():
            member.create(folder, name, ask_passphrase(passphrase, new=True))
            line(str(folder / "identity.json"))

    @app.command()
    def agree(
        folder: FolderArgument,
        agreement: Annotated[Path, typer.Argument(help="The agreement's file.")],
        passphrase: PassphraseOption = None,
    ) -> None:
        """Agree, once and for all. Read the file first: it says who takes part and what may be asked."""
        with problems_as_sentences(), member(folder, ask_passphrase(passphrase)) as opened:
            agreed = read_agreement(agreement)
            opened.agree(agreed)
            line(f"{opened.identity.name} has agreed to {agreed.digest}.")

    @app.command()
    def admit(
        folder: FolderArgument,
        identity: Annotated[Path, typer.Argument(help="The client's identity.json.")],
        passphrase: PassphraseOption = None,
    ) -> None:
        """Answer a client's questions from now on, as many a day as was agreed."""
        with problems_as_sentences(), member(folder, ask_passphrase(passphrase)) as opened:
            client = read_public(identity)
            opened.admit_client(client)
            line(f"{opened.identity.name} answers {client.name}.")

    @app.command()
    def journal(folder: FolderArgument, as_json: JsonOption = False) -> None:
        """Prove the journal, line by line, and print it. No passphrase is needed."""
        with problems_as_sentences():
            public = read_public(folder / "identity.json")
            entries, last = read_journal(folder / "journal.jsonl", public.signing)
        if as_json:
            rows = [{"time": entry.time, "event": entry.event, **entry.fields} for entry in entries]
            out.print_json(json.dumps({"entries": rows, "last": last}))
            return
        for entry in entries:
            line(f"{entry.number:5}  {entry.time}  {entry.event}  {json.dumps(entry.fields)}")
        line(f"{len(entries)} entries, each as {public.name} wrote it. The last: {last}")


def read_agreement(path: Path) -> Agreement:
    """Read an agreement. Raises BadInput where there is none."""
    try:
        return Agreement.from_json(path.read_bytes())
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}.") from problem


def read_public(path: Path) -> PublicIdentity:
    """Read an identity's public part. Raises BadInput where there is none."""
    try:
        return PublicIdentity.from_dict(json.loads(path.read_bytes()))
    except OSError as problem:
        raise BadInput(f"{path} cannot be read: {problem.strerror}.") from problem
    except ValueError as problem:
        raise BadInput(f"{path} is no identity.") from problem


def read_identity(folder: Path, passphrase: str | None) -> Identity:
    """Open what 'catalogue identity' made. Raises BadInput where there is none, WrongPassphrase."""
    if not (folder / "identity.json").exists():
        raise BadInput(f"{folder} holds no identity. Make one: provenance catalogue identity {folder} NAME")
    return Identity.from_bytes(Vault(folder / "vault", ask_passphrase(passphrase))["identity"])


def ask_passphrase(given: str | None, *, new: bool = False) -> str:
    """Return what was given, or what is typed."""
    if given is not None:
        return given
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True))


@contextmanager
def problems_as_sentences() -> Iterator[None]:
    """Print a problem and end with its status."""
    try:
        yield
    except PrivateLookupError as problem:
        end(problem)


def line(words: str) -> None:
    """Print a line as it is."""
    out.print(words, markup=False, highlight=False, soft_wrap=True)


def end(problem: PrivateLookupError) -> NoReturn:
    """Print a problem and end."""
    err.print(str(problem), style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT) from problem

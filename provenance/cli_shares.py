"""The command line's part for catalogues in shares: the servers that hold them, and what is done with the three."""

from __future__ import annotations

from collections.abc import Sequence
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
from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.shares.service import RemoteShareholders, Server
from provenance.private_lookup.shares.shareholder import Shareholder
from provenance.private_lookup.tls import parse_address

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Be one of three servers that hold shares.")
add_member_commands(app, Shareholder)

ServersOption = Annotated[
    list[str] | None,
    typer.Option("--server", help="host:port of a shareholder; all three, in the agreement's order."),
]


@app.command()
def serve(
    folder: FolderArgument,
    shares: Annotated[Path, typer.Option("--shares", help="Folder that the holder made for this server.")],
    server: ServersOption = None,
    listen: Annotated[
        str | None, typer.Option(help="host:port to listen at, where it is not what the others know.")
    ] = None,
    passphrase: PassphraseOption = None,
) -> None:
    """Hold shares and answer questions together with the two others, until Ctrl-C."""
    with problems_as_sentences(), Shareholder(folder, ask_passphrase(passphrase), shares=shares) as shareholder:
        said = shareholder.load()
        addresses = [parse_address(text) for text in server or ()]
        running = Server(shareholder, addresses, listen=parse_address(listen) if listen else None)
        host, port = running.address
        running.serve(ready=lambda: line(f"{shareholder.identity.name} answers at {host}:{port}. {said}"))


def remote_shareholders(agreement: Agreement, identity: Identity, servers: Sequence[str] | None) -> RemoteShareholders:
    """Return the three servers. Raises BadInput where an address is none, or one is missing."""
    return RemoteShareholders(identity, agreement, [parse_address(text) for text in servers or ()])

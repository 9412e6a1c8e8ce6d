"""The command line's part for models: list them, fetch them, prove their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from provenance.models import store
from provenance.models.catalogue import MODELS, Model

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The weights of the networks: list, fetch, verify.")
out = Console()
err = Console(stderr=True)

NOT_HERE, BAD_INPUT = 1, 2
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
NameArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(MODELS)}.")]


@app.command("list")
def list_models(as_json: JsonOption = False) -> None:
    """List every model: what it is for, how large it is, how its content is known, where it is."""
    try:
        rows = [_row(model) for model in MODELS.values()]
    except store.ModelError as problem:
        _end(problem)
    if as_json:
        out.print_json(json.dumps(rows))
        return
    for row in rows:
        size = _size(row["size"])
        _line(f"{row['name']}  {size}, {row['licence']}", style="bold")
        _line(f"    {row['purpose']}: {row['architecture']}")
        _line(f"    pinned {row['pinned']}: {row['sha256'] or 'no digest yet'}")
        _line(f"    {row['path'] or 'not here'}")


def _size(count: int | None) -> str:
    if not count:
        return "size unknown"
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} KB"


@app.command()
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Names; --all instead for every one.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Fetch every model.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch models into the local folder. What is here already is verified; what was cut off goes on."""
    if not names and not everything:
        _refuse(f"Name a model: {', '.join(MODELS)}; or say --all.")
    rows = []
    try:
        for name in names or MODELS:
            with _progress(name) as report:
                file = store.pull(name, report)
            rows.append(_row(MODELS[name]))
            if not as_json:
                _line(f"{name} is here: {file}")
    except store.ModelError as problem:
        _end(problem)
    if as_json:
        out.print_json(json.dumps(rows))


@app.command()
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names; every model by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read the files again and compare their digests. Fails if one is wrong, or one that was named is missing."""
    rows, bad = [], False
    for name in names or MODELS:
        row: dict[str, Any] = {"name": name}
        try:
            row |= {"sha256": store.verify(name), "state": "verified"}
            words = f"{name}: verified, SHA-256 {row['sha256']}"
        except store.ModelMissing as problem:
            row |= {"state": "missing", "command": problem.command}
            words = str(problem)
            bad |= bool(names) or MODELS[name].shipped
        except store.UnknownModel as problem:
            _end(problem)
        except store.ModelError as problem:
            row |= {"state": "corrupt" if isinstance(problem, store.ModelCorrupt) else "unreadable"}
            words = str(problem)
            bad = True
        row["message"] = words
        rows.append(row)
        if not as_json:
            _line(words)
    if as_json:
        out.print_json(json.dumps(rows))
    if bad:
        raise typer.Exit(NOT_HERE)


@app.command()
def path(name: NameArgument, as_json: JsonOption = False) -> None:
    """Print where a model's verified file is."""
    try:
        file, digest = store.path(name), store.sha256(name)
    except store.ModelError as problem:
        _end(problem)
    if as_json:
        out.print_json(json.dumps({"name": name, "path": str(file), "sha256": digest}))
    else:
        _line(str(file))


@contextmanager
def _progress(name: str) -> Iterator[store.Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        task = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _row(model: Model) -> dict[str, Any]:
    found = store.find(model.name)
    return {
        "name": model.name,
        "purpose": model.purpose,
        "architecture": model.architecture,
        "licence": model.licence,
        "origin": model.origin,
        "file": model.file,
        "size": found.stat().st_size if found else model.size,
        "sha256": store.known_sha256(model.name),
        "pinned": str(model.pin),
        "path": str(found) if found else None,
        "sources": list(model.urls),
        "command": None if found or model.shipped else f"provenance models pull {model.name}",
    }


def _line(words: str, style: str | None = None) -> None:
    out.print(words, style=style, markup=False, highlight=False, soft_wrap=True)


def _end(problem: store.ModelError) -> NoReturn:
    """Say what is wrong and end: 1 where the file is missing or wrong, 2 where the request cannot be carried out."""
    err.print(str(problem), style="red", markup=False, highlight=False, soft_wrap=True)
    absent = isinstance(problem, store.ModelMissing | store.ModelCorrupt)
    raise typer.Exit(NOT_HERE if absent else BAD_INPUT) from problem


def _refuse(sentence: str) -> NoReturn:
    err.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT)

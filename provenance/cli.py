"""The command line: hash pictures, compare two, ask a registry.

Exit status: 0 found or done, 1 not found or different, 2 bad input or a refusal. The key of a registry comes from
``--key`` or, better, from the environment's ``PROVENANCE_KEY``, which no other user of the machine can read.
"""

from __future__ import annotations

import json
import mimetypes
import time
import uuid
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from provenance.hashing.code import hamming
from provenance.hashing.hasher import HASHERS
from provenance.images.decode import DecodeError, Picture, decode
from provenance.matching.policy import POLICIES
from provenance.matching.verify import PairKind, verify_pair

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Is this picture registered, and whose is it?")
out = Console()
err = Console(stderr=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DIFFERENT, BAD_INPUT = 1, 2
_FOUND = ("registered", "probably_registered")
_WORDS = {
    PairKind.VERIFIED: "One is a copy of the other, whole or in part.",
    PairKind.PARTIAL: "They probably share a part. Look at them side by side.",
    PairKind.REJECTED: "No common part was found.",
    PairKind.UNDECIDABLE: "Too plain to tell.",
}


@app.command("hash")
def hash_files(
    files: Annotated[list[Path], typer.Argument(help="Picture files.")],
    algorithm: Annotated[str | None, typer.Option(help=f"One of {', '.join(HASHERS)}; all by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the perceptual hashes of pictures."""
    if algorithm is not None and algorithm not in HASHERS:
        _refuse(f"There is no algorithm {algorithm}. Choose one of {', '.join(HASHERS)}.")
    chosen = [HASHERS[algorithm]] if algorithm else list(HASHERS.values())
    rows, failed = [], False
    for path in files:
        try:
            picture = _open(path)
        except _Unreadable as problem:
            err.print(str(problem), style="red", markup=False)
            failed = True
            continue
        for hasher in chosen:
            (found,) = hasher.hash([picture.pixels])
            rows.append(
                {
                    "file": str(path),
                    "algorithm": hasher.algorithm,
                    "hash": found.code.hex if found.usable else None,
                    "quality": round(found.quality, 4),
                    "usable": found.usable,
                }
            )
    if as_json:
        out.print_json(json.dumps(rows))
    elif rows:
        table = Table("file", "algorithm", "quality", "hash")
        for row in rows:
            words = str(row["hash"]) if row["usable"] else "too simple to fingerprint"
            table.add_row(str(row["file"]), str(row["algorithm"]), f"{row['quality']:.2f}", words)
        out.print(table)
    if failed:
        raise typer.Exit(BAD_INPUT)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="The picture asked about.")],
    second: Annotated[Path, typer.Argument(help="The picture it may be a copy of.")],
    as_json: JsonOption = False,
) -> None:
    """Say whether one picture is a copy of another, whole or in part, and on which grounds."""
    try:
        query, reference = _open(first), _open(second)
    except _Unreadable as problem:
        _refuse(str(problem))
    distances: list[dict[str, Any]] = []
    for algorithm, hasher in HASHERS.items():
        policy = POLICIES[algorithm]
        one, other = hasher.hash([query.pixels, reference.pixels])
        row: dict[str, Any] = {"algorithm": algorithm, "usable": one.usable and other.usable}
        if row["usable"]:
            distance = min(hamming(code, other.code) for code in hasher.hash_dihedral(query.pixels))
            rate = policy.false_match_rate(distance)
            row |= {
                "distance": distance,
                "length": hasher.length,
                "candidate_radius": policy.candidate_radius,
                "false_match_rate_measured": rate.measured,
                "false_match_rate_upper_bound": rate.upper_bound,
                "false_match_rate_binomial_theoretical": rate.binomial,
            }
        distances.append(row)
    pair = verify_pair(query.pixels, reference.pixels)
    identical = query.pixel_sha256 == reference.pixel_sha256
    answer = {
        "identical_pixels": identical,
        "verdict": "identical" if identical else str(pair.kind),
        "words": "The pixels are the same." if identical else _WORDS[pair.kind],
        "reasons": pair.reasons,
        "mirrored": pair.alignment.mirrored if pair.alignment else None,
        "overlap_first": pair.alignment.overlap_query if pair.alignment else None,
        "overlap_second": pair.alignment.overlap_reference if pair.alignment else None,
        "version": pair.version,
        "distances": distances,
    }
    if as_json:
        out.print_json(json.dumps(answer))
    else:
        out.print(str(answer["words"]), style="bold", markup=False)
        for reason in pair.reasons:
            out.print(reason, markup=False)
        table = Table("algorithm", "distance", "candidates up to", "different pictures come so near (95 % bound)")
        for row in distances:
            if row["usable"]:
                table.add_row(
                    row["algorithm"],
                    f"{row['distance']} of {row['length']}",
                    str(row["candidate_radius"]),
                    f"{row['false_match_rate_measured']:.1e} (< {row['false_match_rate_upper_bound']:.1e})",
                )
            else:
                table.add_row(row["algorithm"], "too simple", "", "")
        out.print(table)
    if not identical and pair.kind not in (PairKind.VERIFIED, PairKind.PARTIAL):
        raise typer.Exit(DIFFERENT)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Picture file.")],
    url: Annotated[str, typer.Option(help="Address of the registry's site.", envvar="PROVENANCE_URL")],
    key: Annotated[str, typer.Option(help="API key.", envvar="PROVENANCE_KEY", show_envvar=True)],
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the verdict.")] = 300.0,
    as_json: JsonOption = False,
) -> None:
    """Ask a registry whether a picture is registered."""
    try:
        data = file.read_bytes()
    except OSError as problem:
        _refuse(f"{file} cannot be read: {problem.strerror}.")
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    base = f"{url.rstrip('/')}/api/v1"
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
            sent = _answer(
                client.post(
                    f"{base}/checks",
                    files={"file": (file.name, data, media_type)},
                    headers={"Idempotency-Key": uuid.uuid4().hex},
                )
            )
            found = _wait(client, f"{base}/checks/{sent['id']}", time.monotonic() + timeout)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        _refuse(f"{url} does not answer: {problem}")
    if as_json:
        out.print_json(json.dumps(found))
    else:
        _show(found)
    if found["state"] != "succeeded":
        raise typer.Exit(BAD_INPUT)
    if found["verdict"] not in _FOUND:
        raise typer.Exit(DIFFERENT)


class _Unreadable(Exception):
    """A file that is no picture for us; the sentence says why."""


def _open(path: Path) -> Picture:
    try:
        return decode(path.read_bytes())
    except OSError as problem:
        raise _Unreadable(f"{path} cannot be read: {problem.strerror}.") from problem
    except DecodeError as problem:
        raise _Unreadable(f"{path}: {problem.message}") from problem


def _wait(client: httpx.Client, url: str, deadline: float) -> dict[str, Any]:
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("waiting", total=100)
        while True:
            answer = client.get(url)
            found = _answer(answer)
            progress = found.get("progress") or {}
            now = [step["label"] for step in progress.get("steps", []) if step["state"] == "current"]
            bar.update(task, completed=progress.get("percent", 0), description=now[0] if now else found["state"])
            if found["state"] in ("succeeded", "failed", "cancelled"):
                return found
            if time.monotonic() > deadline:
                _refuse(f"There is no verdict yet. It will be at {url}.")
            time.sleep(min(float(answer.headers.get("Retry-After", 1)), 10))


def _answer(response: httpx.Response) -> dict[str, Any]:
    """Return the answer's JSON, or end with the problem's own words (RFC 9457)."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if response.is_success and isinstance(body, dict) and body:
        return body
    detail = body.get("detail") if isinstance(body, dict) else None
    _refuse(detail or f"The site answered {response.status_code} without saying why. Is the address right?")


def _show(found: dict[str, Any]) -> None:
    if found["state"] != "succeeded":
        error = found.get("error") or {}
        out.print(error.get("message") or f"The check has {found['state']}.", markup=False)
        return
    out.print(str(found.get("verdict_words") or found["verdict"]), style="bold", markup=False)
    out.print(str(found.get("explanation", "")), markup=False)
    for item in found.get("evidence", []):
        out.print(f"- {item['summary']}", markup=False)
    out.print(found["links"]["page"], style="dim", markup=False)


def _refuse(sentence: str) -> NoReturn:
    err.print(sentence, style="red", markup=False)
    raise typer.Exit(BAD_INPUT)


if __name__ == "__main__":
    app()

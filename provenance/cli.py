"""The command line: hash pictures, compare two, judge them, ask a registry; models have a part of their own.

Exit status: 0 found or done, 1 not found or different, 2 bad input or a refusal, 3 "cannot tell". The key of a
registry comes from ``--key`` or, better, from the environment's ``PROVENANCE_KEY``, which no other user of the machine
can read.
"""

from __future__ import annotations

import json
import mimetypes
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from provenance import (
    cli_artwork,
    cli_keyholder,
    cli_models,
    cli_private,
    cli_private_site,
    cli_shares,
    cli_signature,
)
from provenance.detection.detector import DETECTOR, Band, Detector
from provenance.hashing.code import hamming
from provenance.hashing.dinohash import published_hashers
from provenance.hashing.hasher import HASHERS, RETIRED, Hasher
from provenance.images.decode import DecodeError, Picture, decode
from provenance.matching.policy import POLICIES
from provenance.matching.verify import PairKind, pair_model, verify_pair
from provenance.models.errors import ModelError

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Is this picture registered, and whose is it?")
app.add_typer(cli_models.app, name="models")
app.add_typer(cli_artwork.app)
app.add_typer(cli_signature.app)
app.add_typer(cli_keyholder.app, name="private")
app.add_typer(cli_keyholder.keyholders, name="keyholder")
app.add_typer(cli_shares.app, name="shareholder")
cli_private.catalogues.command("ask-site")(cli_private_site.ask_site)
app.add_typer(cli_private.catalogues, name="catalogue")
out = Console()
err = Console(stderr=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DIFFERENT, BAD_INPUT, CANNOT_TELL = 1, 2, 3
_FOUND = ("registered", "probably_registered")
_FINAL = ("succeeded", "failed", "cancelled")
# "Too many requests" and what proxies say of a site that is starting or busy (RFC 9110, RFC 6585).
_LATER = (429, 502, 503, 504)
_LONGEST_PAUSE = 30.0
_WORDS = {
    PairKind.VERIFIED: "One is a copy of the other, whole or in part.",
    PairKind.PARTIAL: "They probably share a part. Look at them side by side.",
    PairKind.REJECTED: "Different, as far as can be told: no part that they share was found.",
    PairKind.UNDECIDABLE: "Too plain to tell.",
}

_BANDS = {
    Band.LIKELY_AI: "probably made by AI",
    Band.LIKELY_NOT_AI: "unlike the AI pictures it knows",
    Band.CANNOT_TELL: "cannot tell",
}
_REASONS = {
    "small": "cannot tell: too small",
    "long": "cannot tell: too long and narrow",
    "plain": "cannot tell: too plain",
}

_DISTANCE_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "distance": lambda row: f"{row['distance']} of {row['length']} bits",
    "near, by the published threshold": lambda row: f"up to {row['near_radius']}",
    "candidate for verification": lambda row: f"up to {row['candidate_radius']}",
    "different pictures come so near, measured": lambda row: f"{row['false_match_rate_measured']:.1e}",
    "  its 95 % bound": lambda row: f"{row['false_match_rate_upper_bound']:.1e}",
    "  fair bits instead (theoretical)": lambda row: f"{row['false_match_rate_binomial_theoretical']:.1e}",
}

_PUBLISHED = published_hashers()
_RETIRED = {algorithm: retired.hasher for algorithm, retired in RETIRED.items()}
_ALGORITHM_HELP = f"One of {', '.join(HASHERS)} (all of these by default), {', '.join((*_RETIRED, *_PUBLISHED))}."


@app.command("hash")
def hash_files(
    files: Annotated[list[Path], typer.Argument(help="Picture files.")],
    algorithm: Annotated[str | None, typer.Option(help=_ALGORITHM_HELP)] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the perceptual hashes of pictures, a line each: algorithm, quality from 0 to 1, hash, file."""
    offered: dict[str, Hasher] = {**HASHERS, **_RETIRED, **_PUBLISHED}
    if algorithm is not None and algorithm not in offered:
        _refuse(f"There is no algorithm {algorithm}. Choose one of {', '.join(offered)}.")
    chosen = [offered[algorithm]] if algorithm else list(HASHERS.values())
    try:
        for hasher in chosen:
            hasher.load()
    except ModelError as problem:
        _refuse(str(problem))
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
    else:
        # One line a hash and no frame: a hash must never be broken over two lines.
        for row in rows:
            words = row["hash"] if row["usable"] else "too simple to fingerprint"
            line = f"{row['algorithm']:<8}  {row['quality']:.2f}  {words}  {row['file']}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
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
                "near_radius": policy.near_radius,
                "false_match_rate_measured": rate.measured,
                "false_match_rate_upper_bound": rate.upper_bound,
                "false_match_rate_binomial_theoretical": rate.binomial,
            }
        distances.append(row)
    pair = verify_pair(query.pixels, reference.pixels)
    identical = query.pixel_sha256 == reference.pixel_sha256
    wrong, wrong_at_most = pair_model().false_verification_rate()
    answer = {
        "identical_pixels": identical,
        "verdict": "identical" if identical else str(pair.kind),
        "words": "The pixels are the same." if identical else _WORDS[pair.kind],
        "probability": round(pair.probability, 6),
        "reasons": pair.reasons,
        "mirrored": pair.alignment.mirrored if pair.alignment else None,
        "overlap_first": pair.alignment.overlap_query if pair.alignment else None,
        "overlap_second": pair.alignment.overlap_reference if pair.alignment else None,
        "version": pair.version,
        "false_verification_rate_measured": wrong,
        "false_verification_rate_upper_bound": wrong_at_most,
        "distances": distances,
    }
    if as_json:
        out.print_json(json.dumps(answer))
    else:
        _show_pair(answer)
    if not identical and pair.kind not in (PairKind.VERIFIED, PairKind.PARTIAL):
        raise typer.Exit(CANNOT_TELL if pair.kind == PairKind.UNDECIDABLE else DIFFERENT)


@app.command()
def detect(
    files: Annotated[list[Path], typer.Argument(help="Picture files.")],
    detector: Annotated[
        Path | None, typer.Option(help="File that provenance.training.detector wrote; by default the shipped detector.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of the tower that it was fitted on, where that was fine-tuned.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say how likely pictures were made by AI, or that it cannot be told. Alone it is no ground to accuse anybody."""
    if weights and not detector:
        _refuse("--weights goes with --detector: the shipped detector was fitted on the shipped tower.")
    judge = Detector(detector, weights) if detector else DETECTOR
    try:
        judge.load()
    except ModelError as problem:
        _refuse(str(problem))
    rows, failed = [], False
    for path in files:
        try:
            found = judge.detect(_open(path).pixels)
        except _Unreadable as problem:
            err.print(str(problem), style="red", markup=False)
            failed = True
            continue
        line = judge.lines["all"]
        rows.append(
            {
                "file": str(path),
                "band": str(found.band),
                "words": _REASONS.get(found.reason or "", _BANDS[found.band]),
                "probability": None if found.probability is None else round(found.probability, 4),
                "margin": None if found.margin is None else round(found.margin, 4),
                "margin_thresholds": {"likely_ai": round(line.ai_from, 4), "likely_not_ai": round(line.not_to, 4)},
                "crops": [{**asdict(crop.box), "margin": round(crop.margin, 4)} for crop in found.crops],
                "version": judge.version,
                "generators": judge.about["generators"],
            }
        )
    if as_json:
        out.print_json(json.dumps(rows))
    else:
        for row in rows:
            said = row["words"]
            if row["probability"] is not None:
                said = f"{said} (probability of AI, as calibrated: {100 * min(row['probability'], 0.9999):.2f} %)"
            out.print(f"{said}  {row['file']}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        raise typer.Exit(BAD_INPUT)


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
    if not key.isascii() or not key.isprintable():
        _refuse("The key has characters that no key has. Copy it again, whole and without what stands around it.")
    media_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    base = f"{url.rstrip('/')}/api/v1"
    try:
        with httpx.Client(headers={"Authorization": f"Bearer {key.strip()}"}, timeout=60) as client:
            response = client.post(
                f"{base}/checks",
                files={"file": (file.name, data, media_type)},
                headers={"Idempotency-Key": uuid.uuid4().hex},
            )
            sent = _answer(response, "id")
            found = _wait(client, f"{base}/checks/{sent['id']}", time.monotonic() + timeout)
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        _refuse(f"{url} does not answer: {problem}")
    if as_json:
        out.print_json(json.dumps(found))
    else:
        _show_check(found)
    if found["state"] != "succeeded":
        raise typer.Exit(BAD_INPUT)
    if found["verdict"]["code"] not in _FOUND:
        raise typer.Exit(CANNOT_TELL if found["verdict"]["code"] == "cannot_tell" else DIFFERENT)


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
    """Return the check once it is final, asking as often as the site says; end the program at the deadline."""
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn()
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("waiting", total=100)
        while True:
            response = client.get(url)
            if response.status_code not in _LATER:
                found = _answer(response, "state")
                progress = found.get("progress") or {}
                now = [step["label"] for step in progress.get("steps", []) if step["state"] == "current"]
                words = now[0] if now else found["state"]
                bar.update(task, completed=progress.get("percent", 0), description=words)
                if found["state"] in _FINAL:
                    return found
            pause = _pause(response)
            if time.monotonic() + pause > deadline:
                _refuse(f"There is no verdict yet. It will be at {url}.")
            time.sleep(pause)


def _pause(response: httpx.Response) -> float:
    """Return how many seconds to wait, by ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date), else 1."""
    said = response.headers.get("Retry-After", "1")
    try:
        seconds = float(said) if said.isdigit() else (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):  # No date; or one without a zone, which cannot be compared.
        seconds = 1.0
    return min(max(seconds, 0.0), _LONGEST_PAUSE)


def _answer(response: httpx.Response, needed: str) -> dict[str, Any]:
    """Return the answer's JSON, or end with the problem's own words (RFC 9457)."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        if response.is_success and needed in body:
            return body
        if response.is_error and body.get("detail"):
            _refuse(str(body["detail"]))
    _refuse(f"The site answered {response.status_code}, but not as a registry does. Is the address right?")


def _show_check(found: dict[str, Any]) -> None:
    if found["state"] != "succeeded":
        error = found.get("error") or {}
        out.print(error.get("message") or f"The check has {found['state']}.", markup=False)
        return
    verdict = found["verdict"]
    out.print(verdict["label"], style="bold", markup=False)
    out.print(verdict["explanation"], markup=False, highlight=False)
    for item in found["evidence"]:
        out.print(f"- {item['summary']}", markup=False, highlight=False)
    out.print(found["links"]["page"], style="dim", markup=False, soft_wrap=True)


def _show_pair(answer: dict[str, Any]) -> None:
    out.print(answer["words"], style="bold", markup=False)
    if answer["probability"]:
        shown = f"{answer['probability']:.4f}" if answer["probability"] < 0.9999 else "over 0.9999"
        out.print(f"Probability of a copy, if copies and look-alikes were equally frequent: {shown}.", markup=False)
    for reason in answer["reasons"]:
        out.print(reason, markup=False, highlight=False)
    if answer["verdict"] == PairKind.VERIFIED:
        out.print(
            "Verification took different pictures that look alike for copies in"
            f" {answer['false_verification_rate_measured']:.1e} of measured pairs"
            f" (at most {answer['false_verification_rate_upper_bound']:.1e}, 95 % bound).",
            markup=False,
            highlight=False,
        )
    table = Table("", *(row["algorithm"] for row in answer["distances"]))
    for name, show in _DISTANCE_ROWS.items():
        table.add_row(name, *(show(row) if row["usable"] else "too simple" for row in answer["distances"]))
    out.print(table)


def _refuse(sentence: str) -> NoReturn:
    # A command in it must not be broken over two lines.
    err.print(sentence, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(BAD_INPUT)


if __name__ == "__main__":
    app()

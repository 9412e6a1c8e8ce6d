"""Fetch one file over HTTP into a partial file, going on where an earlier try stopped."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from provenance.models.errors import DownloadFailed

# Bytes that are here, and bytes in all when known.
Progress = Callable[[int, int | None], None]

# Tries in a row that bring nothing new; the pause before each doubles.
TRIES = 4
FIRST_PAUSE = 1.0
_LATER = (408, 429, 500, 502, 503, 504)
_HERE = ("localhost", "127.0.0.1", "::1")


class _TryAgain(Exception):
    """This try ended early; what it brought is kept."""


def fetch(url: str, part: Path, *, pinned: bool, progress: Progress | None = None) -> None:
    """Bring the whole file into ``part``.

    A partial file is continued (RFC 9110, section 14) if it came from this address and the server says that the file
    is still the same, or if a digest will tell in the end.

    Args:
        pinned: whether the caller knows the file's digest.

    Raises:
        DownloadFailed: no connection, a refusal, no room, or nothing new in :data:`TRIES` tries.
    """
    failures, most = 0, _size(part)
    with httpx.Client(follow_redirects=True, timeout=30, headers={"Accept-Encoding": "identity"}) as client:
        while True:
            try:
                _try(client, url, part, pinned, progress)
                _note(part).unlink(missing_ok=True)
                return
            except (_TryAgain, httpx.TransportError) as problem:
                failures = 0 if _size(part) > most else failures + 1
                most = max(most, _size(part))
                if failures == TRIES:
                    raise DownloadFailed(f"{url} does not answer as it should: {problem}") from problem
                time.sleep(FIRST_PAUSE * 2**failures / 2)
            except (httpx.HTTPError, httpx.InvalidURL) as problem:
                raise DownloadFailed(f"{url} cannot be fetched: {problem}") from problem
            except OSError as problem:
                raise DownloadFailed(f"{part} cannot be written: {problem.strerror}.") from problem


def discard(part: Path) -> None:
    """Remove a partial file and what is known of it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _try(client: httpx.Client, url: str, part: Path, pinned: bool, progress: Progress | None) -> None:
    have, headers = _resume(url, part, pinned)
    with client.stream("GET", url, headers=headers) as response:
        _check_secure(response)
        if response.status_code == 416:
            if have and response.headers.get("Content-Range") == f"bytes */{have}":
                return
            discard(part)
            raise _TryAgain("the partial file did not fit and was removed")
        if response.status_code in _LATER:
            raise _TryAgain(f"status {response.status_code}")
        start, total = _extent(response, url)
        if start not in (0, have):
            raise DownloadFailed(f"{url} sent another part of the file than was asked for.")
        _check_room(part, start, total)
        validator = _validator(response)
        _note(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            done = start
            if progress is not None:
                progress(done, total)
            # As it comes: blocks of a size of our own would be lost with a connection that breaks in one.
            for block in response.iter_raw():
                file.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, total)
        if total is not None and done != total:
            raise _TryAgain(f"{done:,} of {total:,} bytes came")


def _resume(url: str, part: Path, pinned: bool) -> tuple[int, dict[str, str]]:
    """Return how much of the file is here and worth keeping, and the headers that ask for the rest."""
    have = _size(part)
    try:
        known: dict[str, Any] = json.loads(_note(part).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        known = {}
    validator = known.get("validator")
    if not have or known.get("url") != url or not (validator or pinned):
        return 0, {}
    headers = {"Range": f"bytes={have}-"}
    if validator:
        headers["If-Range"] = validator
    return have, headers


def _extent(response: httpx.Response, url: str) -> tuple[int, int | None]:
    """Return where the body starts in the file, and the file's whole length if it is told."""
    if response.status_code not in (200, 206):
        raise DownloadFailed(f"{url} answered {response.status_code} {response.reason_phrase}.")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadFailed(f"{url} sent a page instead of a file. Is there a log-in between?")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadFailed(f"{url} sent the file encoded, which was not asked for.")
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None:
            raise DownloadFailed(f"{url} sent a part and does not say which.")
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _check_secure(response: httpx.Response) -> None:
    for step in (*response.history, response):
        if step.url.scheme != "https" and step.url.host not in _HERE:
            raise DownloadFailed(f"{step.url.host} is not asked over https, so anyone between could change the file.")


def _check_room(part: Path, start: int, total: int | None) -> None:
    # What the partial file holds beyond the start will be overwritten.
    free = shutil.disk_usage(part.parent).free + _size(part) - start
    if total is not None and total - start > free:
        raise DownloadFailed(
            f"{part.parent} has room for {free / 1e9:.1f} GB, and {(total - start) / 1e9:.1f} GB are to come."
            " Make room, or name another folder by PROVENANCE_MODELS."
        )


def _validator(response: httpx.Response) -> str | None:
    """Return what can stand in ``If-Range`` (RFC 9110, 13.1.5): a strong entity tag, else a date."""
    tag = response.headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return str(tag)
    date: str | None = response.headers.get("Last-Modified")
    return date


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")

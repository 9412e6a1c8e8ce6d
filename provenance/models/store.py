"""One store for every weight file: finds it, proves its content, fetches it.

A file is looked for in the package, then in the local folder (``PROVENANCE_MODELS``, by default the user's cache);
:func:`pull` fetches it there. No file is handed out before its SHA-256 was compared with the one that is right for it:
the package's list, the published digest, or, where none is published, the digest found at the first use on this
machine, which is kept beside the file.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from provenance.models import catalogue, download
from provenance.models.catalogue import MODELS, Model
from provenance.models.download import Progress
from provenance.models.errors import (
    DownloadFailed,
    ModelCorrupt,
    ModelError,
    ModelMissing,
    Offline,
    UnknownModel,
)

__all__ = [
    "DownloadFailed",
    "ModelCorrupt",
    "ModelError",
    "ModelMissing",
    "Offline",
    "Progress",
    "UnknownModel",
    "find",
    "folder",
    "get",
    "known_sha256",
    "path",
    "pull",
    "sha256",
    "verify",
]

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("", "false", "no", "off", "0")
_SIZE_TOLERANCE = 0.1
_LOOK_AGAIN = 0.25

_Stamp = tuple[int, int, int]
# Digests computed by this process, each for one state of a file.
_computed: dict[Path, tuple[_Stamp, str]] = {}


def get(name: str) -> Model:
    """Return a model's record.

    Raises:
        UnknownModel: there is none of that name.
    """
    try:
        return MODELS[name]
    except KeyError as problem:
        raise UnknownModel(f"There is no model {name}. There are: {', '.join(MODELS)}.") from problem


def folder() -> Path:
    """Return the local folder of weights; it need not exist."""
    named = os.environ.get("PROVENANCE_MODELS", "").strip()
    return Path(named).expanduser() if named else platformdirs.user_cache_path("provenance") / "models"


def find(name: str) -> Path | None:
    """Return where the file is, without a look into it; None if it is nowhere.

    Raises:
        UnknownModel: there is no model of that name.
    """
    model = get(name)
    places = (catalogue.WEIGHTS / model.file, folder() / model.file)
    return next((place for place in places if place.is_file()), None)


def path(name: str) -> Path:
    """Return the file of a model, its content proved.

    The digest is computed once per process and state of the file. Where none is published, the first call on this
    machine records the digest that it finds.

    Raises:
        UnknownModel: there is no model of that name.
        ModelMissing: the file is not here.
        ModelCorrupt: its content is not what it should be.
        ModelError: it cannot be read, or its digest cannot be recorded.
    """
    return _proved(get(name))[0]


def sha256(name: str) -> str:
    """Return the digest, 64 hex digits, of the file that :func:`path` returns. Raises what that raises."""
    return _proved(get(name))[1]


def verify(name: str) -> str:
    """Return the digest like :func:`sha256`, but read the whole file again."""
    found = find(name)
    if found is not None:
        _computed.pop(found, None)
    return sha256(name)


def known_sha256(name: str) -> str | None:
    """Return the digest that the file must have, None if the first use will fix it.

    Raises:
        UnknownModel: there is no model of that name.
        ModelError: the list or the record of digests cannot be read.
    """
    model = get(name)
    if model.shipped:
        return _listed(catalogue.WEIGHTS / catalogue.SUMS).get(model.file)
    return model.sha256 or _listed(_record(model)).get(model.file)


def pull(name: str, progress: Progress | None = None) -> Path:
    """Fetch a model's file into the local folder unless it is here, and return it, its content proved.

    One process fetches; others that ask for the same file wait for it. An interrupted fetch is continued by the next.

    Args:
        progress: called with the bytes that are here and the bytes in all, None if that is not told.

    Raises:
        UnknownModel: there is no model of that name.
        ModelMissing: it is a part of the package and not there.
        Offline: it would have to be fetched, and ``PROVENANCE_OFFLINE`` is set.
        ModelError: that variable says neither yes nor no.
        DownloadFailed: no source gave it.
        ModelCorrupt: the sources gave something else.
    """
    model = get(name)
    try:
        return path(name)
    except (ModelMissing, ModelCorrupt):
        if model.shipped:
            raise
    _refuse_offline(model)
    target = folder() / model.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target, model, progress):
            # Another process may have fetched it meanwhile.
            if not _good(model):
                _fetch(model, target, progress)
    except OSError as problem:
        raise DownloadFailed(f"{problem.filename or target} cannot be written: {problem.strerror}.") from problem
    return path(name)


def _fetch(model: Model, target: Path, progress: Progress | None) -> None:
    part = target.with_name(f"{target.name}.part")
    problems: list[ModelError] = []
    for url in model.urls:
        resumed = part.exists()
        try:
            download.fetch(url, part, pinned=known_sha256(model.name) is not None, progress=progress)
            try:
                _accept(model, part, target)
            except ModelCorrupt:
                if not resumed:
                    raise
                # The bytes of the earlier try may be the wrong ones.
                download.fetch(url, part, pinned=True, progress=progress)
                _accept(model, part, target)
            return
        except (DownloadFailed, ModelCorrupt) as problem:
            problems.append(problem)
    if len(problems) == 1:
        raise problems[0]
    # Where one source had something, that it was wrong is the greater news.
    kind = next((problem for problem in problems if isinstance(problem, ModelCorrupt)), problems[0])
    raise kind from ExceptionGroup("every source failed", problems)


def _accept(model: Model, part: Path, target: Path) -> None:
    """Put a fetched file in its place if its content is right; else remove it."""
    size, wanted = part.stat().st_size, known_sha256(model.name)
    if wanted is None and model.size is not None and abs(size - model.size) > model.size * _SIZE_TOLERANCE:
        download.discard(part)
        raise ModelCorrupt(model.name, part, f"{size:,} bytes came, and about {model.size:,} were to come.")
    found = _digest(part)
    if wanted not in (None, found):
        download.discard(part)
        raise ModelCorrupt(model.name, part, _differs(model, found, wanted))
    if wanted is None:
        _write_record(model, found)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def _proved(model: Model) -> tuple[Path, str]:
    file = find(model.name)
    if file is None:
        raise _missing(model)
    wanted = known_sha256(model.name)
    if wanted is None and model.shipped:
        raise ModelCorrupt(model.name, file, f"{catalogue.SUMS} does not list it.")
    try:
        found = _digest(file)
    except OSError as problem:
        raise ModelError(f"{file} cannot be read: {problem.strerror}.") from problem
    if wanted is None:
        _write_record(model, found)
    elif found != wanted:
        raise ModelCorrupt(model.name, file, _differs(model, found, wanted))
    return file, found


def _good(model: Model) -> bool:
    try:
        _proved(model)
    except (ModelMissing, ModelCorrupt):
        return False
    return True


def _digest(file: Path) -> str:
    stat = file.stat()
    stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    known = _computed.get(file)
    if known is None or known[0] != stamp:
        with file.open("rb") as handle:
            known = (stamp, hashlib.file_digest(handle, "sha256").hexdigest())
        _computed[file] = known
    return known[1]


def _listed(file: Path) -> dict[str, str]:
    """Read what sha256sum wrote: file name to digest; nothing if there is no such file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = [line.split(maxsplit=1) for line in lines if line.strip()]
    if any(len(pair) != 2 or len(pair[0]) != 64 for pair in pairs):
        raise ModelError(f"{file} is no list of SHA-256 digests.")
    return {name.lstrip("*"): digest for digest, name in pairs}


def _record(model: Model) -> Path:
    return folder() / f"{model.file}.sha256"


def _write_record(model: Model, digest: str) -> None:
    record = _record(model)
    draft = record.with_name(f".{record.name}.{os.getpid()}")
    try:
        draft.write_text(f"{digest}  {model.file}\n", encoding="utf-8")
        draft.replace(record)
    except OSError as problem:
        raise ModelError(
            f"The digest of {model.name} cannot be recorded in {record.parent}: {problem.strerror}. Run once as someone"
            f" who may write there: {_command(model)}"
        ) from problem


def _command(model: Model) -> str:
    return f"provenance models pull {model.name}"


def _missing(model: Model) -> ModelMissing:
    if model.shipped:
        words = f"{model.name} is a part of this package, and {catalogue.WEIGHTS / model.file} is not there."
        return ModelMissing(f"{words} Install the package again.", name=model.name, command=None)
    command = _command(model)
    return ModelMissing(f"{model.name} is not on this machine. Get it by: {command}", name=model.name, command=command)


def _differs(model: Model, found: str, wanted: str | None) -> str:
    words = f"its SHA-256 is {found}, and {wanted} is right."
    if model.shipped:
        return f"{words} Install the package again."
    words += f" Fetch it again by: {_command(model)}"
    if model.sha256 is None:
        words += f" (the digest of its first use is in {_record(model)}; delete that to trust another file)"
    return words


def _refuse_offline(model: Model) -> None:
    value = os.environ.get("PROVENANCE_OFFLINE", "").strip()
    if value.lower() not in (*_TRUE, *_FALSE):
        raise ModelError(f"PROVENANCE_OFFLINE must be true or false (also yes/no, on/off, 1/0), not {value!r}.")
    if value.lower() in _TRUE:
        raise Offline(
            f"{model.name} would have to be fetched, and PROVENANCE_OFFLINE forbids it. Put {model.file} into"
            f" {folder()}, or unset the variable."
        )


@contextmanager
def _alone(target: Path, model: Model, progress: Progress | None) -> Iterator[None]:
    """Hold the file's lock; while another process has it, report how far that one is."""
    part = target.with_name(f"{target.name}.part")
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if progress is not None and part.exists():
                    progress(part.stat().st_size, model.size)
                time.sleep(_LOOK_AGAIN)
        yield

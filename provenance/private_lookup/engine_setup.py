"""Where the engine's interpreter is: OpenFHE's wheels hold the extension of one Python each, seldom the site's own.

``PROVENANCE_OPENFHE`` names an interpreter that has OpenFHE; otherwise there is a virtual environment of the engine's
own in the user's folder of data, which :func:`set_up` makes from the first fitting Python that it finds.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import platformdirs

from provenance.private_lookup.errors import EngineUnavailable

_IMPORT = "import openfhe"
_SECONDS_TO_IMPORT = 60
_SECONDS_TO_INSTALL = 900


@dataclass(frozen=True)
class Wheel:
    """A build of OpenFHE.

    Attributes:
        python: the version that its extension is for, such as ``3.10``.
        glibc: the C library that it needs.
        requirements: what is installed.
    """

    python: str
    glibc: tuple[int, int]
    requirements: tuple[str, ...]


WHEELS = (
    Wheel("3.10", (2, 35), ("openfhe==1.6.1.0.22.4", "numpy==2.2.6")),
    Wheel("3.12", (2, 38), ("openfhe==1.6.1.0.24.4", "numpy==2.2.6")),
)


def folder() -> Path:
    """Return where the engine's virtual environment is; it need not exist."""
    return platformdirs.user_data_path("provenance") / f"openfhe-{WHEELS[0].requirements[0].split('==')[1][:5]}"


def find() -> Path:
    """Return an interpreter that has OpenFHE.

    Raises:
        EngineUnavailable: there is none; the message says what to do.
    """
    named = os.environ.get("PROVENANCE_OPENFHE", "").strip()
    if named:
        if not _has_openfhe(Path(named)):
            raise EngineUnavailable(f"PROVENANCE_OPENFHE names {named}, where 'import openfhe' fails.")
        return Path(named)
    made = folder() / "bin" / "python"
    if not made.exists():
        python, _wheel = _fitting()
        raise EngineUnavailable(
            f"OpenFHE is not set up for private look-ups: run 'provenance private setup', which will use {python}."
        )
    if not _has_openfhe(made):
        raise EngineUnavailable(f"{made} cannot import OpenFHE: remove {folder()} and run 'provenance private setup'.")
    return made


def set_up() -> Path:
    """Make the engine's virtual environment unless it is there, and return its interpreter.

    Raises:
        EngineUnavailable: no Python fits, or installing failed; the message says what to do.
    """
    target = folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        # Whoever comes second finds it made.
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = target / "bin" / "python"
        if not made.exists() or not _has_openfhe(made):
            _make(target, made)
    return made


def _make(target: Path, made: Path) -> None:
    python, wheel = _fitting()
    try:
        subprocess.run([python, "-m", "venv", "--clear", target], check=True, capture_output=True, timeout=120)
        subprocess.run(
            [made, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet", *wheel.requirements],
            check=True,
            capture_output=True,
            timeout=_SECONDS_TO_INSTALL,
        )
    except subprocess.CalledProcessError as problem:
        shutil.rmtree(target, ignore_errors=True)
        last = (problem.stderr or problem.stdout).decode(errors="replace").strip().splitlines()[-1:]
        raise EngineUnavailable(f"OpenFHE could not be installed with {python}: {''.join(last)}") from problem
    except (OSError, subprocess.TimeoutExpired) as problem:
        shutil.rmtree(target, ignore_errors=True)
        raise EngineUnavailable(f"OpenFHE could not be installed with {python}: {problem}") from problem
    _has_openfhe.cache_clear()
    if not _has_openfhe(made):
        raise EngineUnavailable(f"OpenFHE was installed into {target}, and 'import openfhe' fails there.")


def _fitting() -> tuple[Path, Wheel]:
    """Return a Python that one of the wheels is for."""
    name, version = platform.libc_ver()
    glibc = tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" and version else (0, 0)
    for wheel in WHEELS:
        if glibc >= wheel.glibc and platform.machine() == "x86_64":
            for python in _pythons(wheel.python):
                if _runs(python, wheel.python):
                    return python, wheel
    raise EngineUnavailable(
        "Private look-ups need OpenFHE, whose wheels are for Python 3.10 (glibc 2.35 or newer) or Python 3.12 (glibc"
        f" 2.38 or newer) on x86-64. No such Python was found here, beside glibc {version or 'unknown'}. Install Python"
        " 3.10, for example by 'pyenv install 3.10', then run 'provenance private setup'."
    )


def _pythons(version: str) -> Iterator[Path]:
    found = shutil.which(f"python{version}")
    if found:
        yield Path(found)
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from (place / "bin" / "python" for place in sorted(versions.glob(f"{version}.*"), reverse=True))


def _runs(python: Path, version: str) -> bool:
    """Tell whether this is such a Python with what a virtual environment needs; a name alone may be an empty shim."""
    program = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    return _succeeds(python, program)


@cache
def _has_openfhe(python: Path) -> bool:
    return _succeeds(python, _IMPORT)


def _succeeds(python: Path, program: str) -> bool:
    try:
        done = subprocess.run([python, "-I", "-c", program], capture_output=True, timeout=_SECONDS_TO_IMPORT)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0

"""An engine of the real OpenFHE, in its real process; where no Python fits it, these tests are skipped and say why.

Parameters are the toy ones, which protect nothing: a ring of 256 instead of 32,768.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provenance.private_lookup import engine_setup
from provenance.private_lookup.engine import Engine, JointKeys
from provenance.private_lookup.errors import EngineUnavailable
from provenance.private_lookup.scheme import SCHEMES
from tests.provenance.private_lookup.club import Club, make_club
from tests.provenance.private_lookup.keys import make_keys

FOLDER = Path(__file__).parent
TOY = SCHEMES["toy-bgv-v1-96"]


@pytest.fixture(scope="session")
def engine_python() -> Path:
    try:
        return engine_setup.set_up()
    except EngineUnavailable as problem:
        pytest.skip(str(problem))


@pytest.fixture(scope="session")
def toy_engine(engine_python: Path) -> Iterator[Engine]:
    """An engine of two parties' insecure keys."""
    with Engine(TOY, 2, "toy", python=engine_python) as engine:
        yield engine


@pytest.fixture(scope="session")
def toy_keys(toy_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> tuple[JointKeys, list[bytes]]:
    """Joint keys and the two shares of their secret."""
    return make_keys(toy_engine, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def club(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Club]:
    """Two keyholders with joint keys, a holder and a client."""
    made = make_club(tmp_path_factory.mktemp("club"), engine_python)
    with made.engine:
        yield made


@pytest.hookimpl(tryfirst=True)  # Before xdist reads the groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what uses the same engines and keys, or the same servers, in one process."""
    for item in items:
        if FOLDER in item.path.parents:
            shares = FOLDER / "shares" in item.path.parents
            item.add_marker(pytest.mark.xdist_group("shares" if shares else "private_lookup"))

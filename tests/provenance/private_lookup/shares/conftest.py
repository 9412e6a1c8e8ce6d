"""Three servers in processes of their own, once for all tests that do not harm them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.provenance.private_lookup.club import code_at, random_code
from tests.provenance.private_lookup.shares.house import NAMES, TAU, House, make_house

PLANTED = random_code(5)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Ninety random entries and, in the places 3, 5 and 6, PLANTED and what is TAU and TAU + 1 bits away from it."""
    codes = [random_code(n) for n in range(100, 190)]
    codes[3], codes[5], codes[6] = PLANTED, code_at(PLANTED, TAU, 1), code_at(PLANTED, TAU + 1, 2)
    made = make_house(tmp_path_factory.mktemp("house"), codes)
    made.start(*NAMES)
    try:
        made.offer()
        yield made
    finally:
        made.kill(*made.processes)

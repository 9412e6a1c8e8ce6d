"""Questions to three processes over sockets: right answers, refusals, and servers that are killed."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from provenance.hashing.code import HashCode
from provenance.private_lookup import frames, tls
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, Refused
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.index import PrivateIndex
from tests.provenance.private_lookup.club import code_at, random_code
from tests.provenance.private_lookup.shares.conftest import PLANTED
from tests.provenance.private_lookup.shares.house import NAMES, TAU, House, make_house


def test_what_matches_is_found_and_named(house: House) -> None:
    index: PrivateIndex = house.index()
    assert (index.entries, index.agreement) == (90, house.agreement)
    answer = index.ask(PLANTED)
    assert (answer.policy, answer.matches, answer.places, answer.missed) == (Policy.BIT, True, (), 0)
    assert (answer.manifest, answer.commitments) == (
        house.catalogue.manifest.id,
        house.catalogue.manifest.commitments,
    )
    assert len(set(answer.commitments)) == 3
    answer = index.ask(PLANTED, who=True)
    assert (answer.policy, answer.places) == (Policy.WHO, ((0, 3), (0, 5)))
    block = house.catalogue.manifest.blocks[0]
    assert [house.catalogue.ids(block)[place] for _block, place in answer.places] == ["e3", "e5"]


def test_neighbours_on_both_sides_of_the_threshold_are_told_apart(house: House) -> None:
    index = house.index()
    for number in range(5):
        assert index.ask(code_at(random_code(120), TAU, number)).matches
        answer = index.ask(code_at(random_code(120), TAU + 1, number), who=True)
        assert (answer.policy, answer.matches) == (Policy.BIT, False)
        assert 0 < answer.missed < 1e-18
        assert not index.ask(random_code(1000 + number)).matches


def test_several_clients_ask_at_once(house: House) -> None:
    index = house.index()
    with ThreadPoolExecutor(4) as pool:
        asked = [random_code(number if number % 2 else 2000 + number) for number in range(110, 122)]
        found = list(pool.map(lambda code: index.ask(code, who=True).places, asked))
    assert found == [((0, number - 100),) if number % 2 else () for number in range(110, 122)]


def test_what_cannot_be_compared_is_refused(house: House) -> None:
    for code in (
        HashCode.from_array("pdq-v1", np.zeros(96)),
        HashCode.from_array(house.agreement.algorithm, np.zeros(256)),
    ):
        with pytest.raises(BadInput, match="The catalogue holds codes of"):
            house.index().ask(code)


def test_who_is_not_admitted_is_not_answered(house: House) -> None:
    stranger = house.remote(Identity.new("client"))
    with pytest.raises(KeyholderUnreachable, match=r"archive at .* does not let client in"):
        stranger.state()


def test_what_speaks_otherwise_harms_nobody(house: House) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"", os.urandom(5000)):
        with socket.create_connection(house.addresses[0]) as plain:
            plain.sendall(noise)
    server = house.agreement.parties[0]
    for head, parts in (
        ({"do": "agree"}, []),
        ({}, [b"x"]),
        ({"do": "join", "session": "0" * 64}, []),
        ({"do": "admit", "attempt": 5}, [b"x"]),
        ({"do": "answer"}, [b"one", b"two"]),
        ({"do": "answer"}, [os.urandom(1000)]),
        ({"do": "admit", "attempt": "0"}, [b""]),
    ):
        connection = tls.connect(house.addresses[0], house.holder, server, 30)
        with connection, connection.makefile("rwb") as stream:
            stream.write(frames.pack(head, parts))
            stream.flush()
            reply = frames.read(stream)
        assert reply is not None
        assert (reply[0]["ok"], reply[0]["error"]) == (False, "BadInput")
    with pytest.raises(Refused, match="Only the catalogue's holder"):
        house.remote().admit(house.catalogue.signed)
    with tls.connect(house.addresses[0], house.client, server, 30) as connection:
        # More than a request may be long: not read, and closed.
        connection.sendall(frames.start({"do": "answer"}, [1 << 30]))
        with connection.makefile("rb") as stream:
            assert stream.read() == b""
    assert house.index().ask(PLANTED).matches


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house whose servers may be killed, by tests that start them again."""
    made = make_house(tmp_path_factory.mktemp("mortal"), [random_code(number) for number in range(20)])
    made.start(*NAMES)
    try:
        made.offer()
        yield made
    finally:
        made.kill(*made.processes)


def ask_on(index: PrivateIndex) -> None:
    """Ask until something happens."""
    while True:
        index.ask(random_code(7))


def test_a_server_that_is_killed_ends_questions_with_a_reason_and_serves_again(mortal: House) -> None:
    index = mortal.index()
    for victim in NAMES:
        assert index.ask(random_code(7)).matches
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(ask_on, index)
            time.sleep(0.2)
            mortal.kill(victim)
            with pytest.raises(KeyholderUnreachable, match=r"Ask anew|does not answer"):
                asking.result(timeout=60)
        mortal.start(victim)
    assert index.ask(random_code(7), who=True).places == ((0, 7),)


def test_a_server_that_dies_between_two_messages_is_missed_by_all(mortal: House) -> None:
    """The others have begun and wait for it; their client is told why."""
    index = mortal.index()
    os.kill(mortal.processes["museum"].pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(index.ask, random_code(7))
        time.sleep(0.5)
        assert not asked.done()
        mortal.kill("museum")
        with pytest.raises(KeyholderUnreachable, match=r"museum|gave up|went away"):
            asked.result(timeout=60)
    mortal.start("museum")
    assert index.ask(random_code(7)).matches


def test_a_state_that_one_server_missed_is_answered_about_once_all_have_it(mortal: House) -> None:
    mortal.catalogue.append([("new", random_code(50).bits)], mortal.holder)
    old = mortal.index()
    mortal.kill("library")
    with pytest.raises(KeyholderUnreachable, match="library"):
        mortal.offer()
    mortal.start("library")
    mortal.offer()
    with pytest.raises(Refused, match="present, checked state"):
        old.ask(random_code(50))
    index = mortal.index()
    assert index.ask(random_code(50), who=True).places == ((1, 0),)
    mortal.catalogue.delete(["new"], mortal.holder)
    mortal.offer()
    assert not mortal.index().ask(random_code(50)).matches
    assert mortal.index().entries == 20
    mortal.catalogue.append([("again", random_code(50).bits)], mortal.holder)
    codes = {f"e{number}": random_code(number).bits for number in range(20)} | {"again": random_code(50).bits}
    mortal.catalogue.compact(lambda name: codes[name], mortal.holder)
    mortal.offer()
    assert mortal.index().ask(random_code(50), who=True).places == ((1, 0),)
    kept = {block.id for block in mortal.catalogue.manifest.blocks}
    for name in NAMES:
        assert {path.name[8:72] for path in (mortal.folder / name / "vault").glob("numbers-*")} == kept

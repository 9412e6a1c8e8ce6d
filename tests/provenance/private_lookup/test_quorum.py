"""Two of three keyholders answer, whichever they are, and one that goes away in the middle is done without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import pytest

from provenance.private_lookup.agreement import Agreement
from provenance.private_lookup.circuit import Policy
from provenance.private_lookup.client import AnsweringKeyholder, Client, Query, local_evaluator, offer
from provenance.private_lookup.engine import Engine
from provenance.private_lookup.errors import BadInput, KeyholderUnreachable, Refused, SchemeError
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.joint_keys import keys_digest, read_keys
from provenance.private_lookup.parties import Keyholder
from provenance.private_lookup.quorum import arranged, sub_keys, used_by
from provenance.private_lookup.registry import Registry
from tests.provenance.private_lookup.club import ALGORITHM, TAU, random_code

NAMES = ("archive", "library", "museum")


@pytest.mark.parametrize(("count", "needed"), [(n, t) for n in range(2, 6) for t in range(2, n + 1)])
def test_as_many_as_needed_have_all_sub_keys_and_one_fewer_have_not(count: int, needed: int) -> None:
    names = [f"k{number}" for number in range(count)]
    holders = sub_keys(names, needed)
    for present in combinations(names, needed):
        used = used_by(holders, present)
        assert sorted(number for numbers in used.values() for number in numbers) == list(range(len(holders)))
        assert all(name in holders[number] for name, numbers in used.items() for number in numbers)
        assert all(used.values())
    for some in combinations(names, needed - 1):
        with pytest.raises(BadInput, match="Too few"):
            used_by(holders, some)


def test_shares_are_put_into_the_order_of_the_sub_keys() -> None:
    used = {"a": [0, 2], "b": [1]}
    assert arranged(used, {"a": [b"00", b"02", b"10", b"12"], "b": [b"01", b"11"]}, 2) == [
        [b"00", b"01", b"02"],
        [b"10", b"11", b"12"],
    ]
    with pytest.raises(BadInput, match="b gives too few"):
        arranged(used, {"a": [b""] * 4, "b": [b""]}, 2)


def test_not_every_number_can_be_needed() -> None:
    parties = tuple(Identity.new(f"k{number}").public for number in range(8))
    for needed, why in ((1, "2 to 8"), (9, "2 to 8"), (8, "does not count"), (4, "56 sub-keys")):
        with pytest.raises(SchemeError, match=why):
            Agreement("toy-bgv-v1-96", ALGORITHM, TAU, (Policy.BIT,), parties, parties[0], needed=needed)


@dataclass
class Trio:
    """Three keyholders of whom two are enough, with a catalogue that all have checked, and who asks."""

    keyholders: list[Keyholder]
    registry: Registry
    client: Client
    engine: Engine
    query: Query

    def ask(self, keyholders: Sequence[AnsweringKeyholder | None]) -> bool:
        agreement = self.client.agreement
        keys = read_keys(self.keyholders[0].folder / "keys", agreement)
        clients = {"client": self.client.identity.public}
        evaluator = local_evaluator(self.registry, keys, self.engine, clients)
        return self.client.ask(self.query, Policy.BIT, self.registry, evaluator, keyholders).matches


def rounds(keyholders: Sequence[Keyholder], exchange: Path) -> None:
    """Have all take part until none waits; a round is fruitless only when all are done."""
    for _round in range(20):
        waiting = [keyholder.generate(exchange) for keyholder in keyholders]
        if not any(waiting):
            return
    raise AssertionError("the keys are not made")


@pytest.fixture(scope="module")
def trio(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    folder = tmp_path_factory.mktemp("trio")
    holder, client = Identity.new("holder"), Identity.new("client")
    parties = tuple(Keyholder.create(folder / name, name, name) for name in NAMES)
    made = Agreement("toy-bgv-v1-96", ALGORITHM, TAU, (Policy.BIT,), parties, holder.public, 1000, needed=2)
    assert Agreement.from_json(made.to_json()) == made
    # Any two of three: 666 answers of each are 999 questions.
    assert (made.daily_answers_each, replace(made, needed=None).daily_answers_each) == (666, 1000)
    (folder / "exchange").mkdir()
    keyholders = [Keyholder(folder / name, name, registry=folder / "pictures", python=engine_python) for name in NAMES]
    with keyholders[0], keyholders[1], keyholders[2], Engine(made.scheme, 3, made.digest, python=engine_python) as own:
        for keyholder in keyholders:
            keyholder.agree(made)
            keyholder.admit_client(client.public)
        rounds(keyholders, folder / "exchange")
        keys = read_keys(folder / "museum" / "keys", made)
        registry = Registry.create(folder / "pictures", made, holder, "pictures")
        registry.append([(f"e{n}", random_code(n).bits) for n in range(3)], holder, keys, own)
        offer(registry, keyholders)
        asker = Client(client, made, keys, own)
        yield Trio(keyholders, registry, asker, own, asker.encrypt(random_code(1)))


class Leaving:
    """Is there until it should answer."""

    def __init__(self, keyholder: Keyholder) -> None:
        self.commit, self.reveal, self.check = keyholder.commit, keyholder.reveal, keyholder.check
        self.admit = keyholder.admit

    def answer(self, checks: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        raise KeyholderUnreachable("gone")


def test_each_pair_answers(trio: Trio) -> None:
    one, two, three = trio.keyholders
    assert trio.ask([one, two, three])
    assert trio.ask([one, None, three])
    assert trio.ask([None, two, three])
    with pytest.raises(Refused, match="2 of 3 keyholders are needed; there are 1"):
        trio.ask([one, None, None])


def test_who_goes_away_in_the_middle_is_done_without(trio: Trio) -> None:
    one, two, three = trio.keyholders
    assert trio.ask([one, Leaving(two), three])
    assert trio.ask([Leaving(one), two, three])
    with pytest.raises(KeyholderUnreachable, match="gone"):
        trio.ask([Leaving(one), Leaving(two), three])


def test_no_keyholder_has_the_whole_secret_and_all_have_the_same_keys(trio: Trio) -> None:
    assert len({keys_digest(keyholder.folder / "keys") for keyholder in trio.keyholders}) == 1
    for keyholder, theirs in zip(trio.keyholders, ({0, 1}, {0, 2}, {1, 2}), strict=True):
        assert {number for number in range(3) if f"share-{number}" in keyholder._vault} == theirs
    one, two, three = trio.keyholders
    assert one._vault["share-1"] == three._vault["share-1"] != two._vault["share-2"]


def test_those_who_began_go_on(trio: Trio) -> None:
    """Nobody is exchanged for another in the middle, and all say who takes part."""
    one, two, three = trio.keyholders
    commits = [keyholder.commit(trio.registry.signed) for keyholder in trio.keyholders]
    with pytest.raises(BadInput, match="2 keyholders, us among them"):
        one.reveal(commits)
    with pytest.raises(BadInput, match="2 keyholders, us among them"):
        one.reveal(commits[1:])
    one.reveal(commits[:2])
    reveals = [two.reveal(commits[:2]), three.reveal(commits[1:])]
    with pytest.raises(Refused, match="other keyholders take part"):
        two.check(reveals)


def test_a_sub_key_that_is_not_what_was_revealed_is_not_kept(engine_python: Path, tmp_path: Path) -> None:
    parties = tuple(Keyholder.create(tmp_path / name, name, name) for name in NAMES)
    made = Agreement("toy-bgv-v1-96", ALGORITHM, TAU, (Policy.BIT,), parties, parties[0], needed=2)
    keyholders = [Keyholder(tmp_path / name, name, python=engine_python) for name in NAMES]
    with keyholders[0], keyholders[1], keyholders[2]:
        for keyholder in keyholders:
            keyholder.agree(made)
        one, two, _three = keyholders
        exchange = tmp_path / "exchange"
        exchange.mkdir()
        one.generate(exchange)
        # The first keyholder keeps one sub-key and hands out another.
        kept = one._vault["share-0"]
        one._vault.keep("share-0", one._engine_of(made).share_keys(None)[0])
        with pytest.raises(Refused, match="archive handed out another sub-key"):
            rounds(keyholders, exchange)
        assert "share-0" not in two._vault
        assert kept != one._vault["share-0"]

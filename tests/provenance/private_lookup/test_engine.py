"""The engine: real OpenFHE in its process, with toy parameters; answers, refusals, and being killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from provenance.private_lookup import engine_setup, frames
from provenance.private_lookup.circuit import Policy, compile_circuit
from provenance.private_lookup.engine import Engine, FileName, JointKeys, Limits
from provenance.private_lookup.errors import BadInput, EngineFailed, EngineUnavailable
from provenance.private_lookup.scheme import ALONE, GROUPED, SCHEMES, Scheme, scheme_for
from tests.provenance.private_lookup.conftest import TOY
from tests.provenance.private_lookup.keys import make_keys

Keys = tuple[JointKeys, list[bytes]]
TAU = 24
BIT, WHO = (compile_circuit(policy, 96, TAU) for policy in (Policy.BIT, Policy.WHO))
CODE = bytes(range(12))


def at_distance(code: bytes, distance: int, seed: int = 0) -> bytes:
    bits = np.unpackbits(np.frombuffer(code, np.uint8))
    bits[np.random.default_rng(seed).choice(len(bits), distance, replace=False)] ^= 1
    return np.packbits(bits).tobytes()


def alive(count: int, *, without: tuple[int, ...] = ()) -> npt.NDArray[np.bool_]:
    slots = np.zeros(TOY.ring, bool)
    slots[:count] = True
    slots[list(without)] = False
    return slots


def decrypt(engine: Engine, secrets: list[bytes], ciphertext: bytes, mode: str) -> npt.NDArray[np.uint32]:
    shares = [
        engine.share_decryption(secret, ciphertext, lead=number == 0, mode=mode, common=b"common", own=b"%d" % number)
        for number, secret in enumerate(secrets)
    ]
    return engine.fuse(shares)


@pytest.fixture(scope="module")
def block(toy_engine: Engine, toy_keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> FileName:
    """Entries at the distances 25, 24, 30, 0, 96, 25 and 24 of CODE."""
    rows = b"".join(at_distance(CODE, distance, distance) for distance in (25, 24, 30, 0, 96, 25, 24))
    return toy_engine.encrypt_block(toy_keys[0], rows, tmp_path_factory.mktemp("blocks") / "block")[0]


@pytest.fixture(scope="module")
def query(toy_engine: Engine, toy_keys: Keys) -> bytes:
    return toy_engine.encrypt_query(toy_keys[0], CODE)


def test_bit_tells_whether_anything_matches(toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes) -> None:
    keys, secrets = toy_keys
    for without, matches in ((), True), ((1, 3), True), ((1, 3, 6), False):
        slots = alive(7, without=without)
        made = toy_engine.evaluate(keys, query, block, BIT, alive=slots, seed=b"seed")
        values = decrypt(toy_engine, secrets, made, "bit")
        assert bool(values[0]) == matches
        # Every other coefficient is covered: hardly any is 0, and none says how many match.
        assert np.count_nonzero(values[1:]) > TOY.ring - 10


def test_who_tells_which_entries_match(toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes) -> None:
    keys, secrets = toy_keys
    made = toy_engine.evaluate(keys, query, block, WHO, alive=alive(7, without=(3,)), seed=b"seed")
    assert np.flatnonzero(decrypt(toy_engine, secrets, made, "who") == 0).tolist() == [1, 6]


def test_entries_of_many_slots_are_asked_as_those_of_one(
    toy_engine: Engine, toy_keys: Keys, tmp_path: Path
) -> None:
    """At the edges of the threshold, in every place of a block, full or not, with deleted entries."""
    keys, secrets = toy_keys
    query = toy_engine.encrypt_query(keys, CODE, GROUPED)
    toy_engine.read_query(query, GROUPED)
    with pytest.raises(BadInput):
        toy_engine.read_query(query)
    distances = (25, 24, 30, 0, 96, 25, 24, 8)
    rows = b"".join(at_distance(CODE, distance, distance) for distance in distances)
    file, _size = toy_engine.encrypt_block(keys, rows[:36], tmp_path / "begun", group=GROUPED)
    file, _size = toy_engine.encrypt_block(keys, rows[36:], tmp_path / "block", (file, 3), GROUPED)
    for without in (), (3,), (1, 3, 6, 7):
        slots = alive(8, without=without)
        near = [place for place, distance in enumerate(distances) if distance <= TAU and place not in without]
        made = toy_engine.evaluate(keys, query, file, BIT, alive=slots, seed=b"seed", group=GROUPED)
        assert bool(decrypt(toy_engine, secrets, made, "bit")[0]) == bool(near)
        made = toy_engine.evaluate(keys, query, file, WHO, alive=slots, seed=b"seed", group=GROUPED)
        assert np.flatnonzero(decrypt(toy_engine, secrets, made, "who") == 0).tolist() == near
    for made in (
        toy_engine.check_query(keys, query, b"seed", GROUPED),
        toy_engine.check_block(keys, file, used=alive(8), seed=b"seed", group=GROUPED),
    ):
        assert not decrypt(toy_engine, secrets, made, "check").any()
    # A row too many is found in each of the slots that it has.
    made = toy_engine.check_block(keys, file, used=alive(7), seed=b"seed", group=GROUPED)
    assert np.flatnonzero(decrypt(toy_engine, secrets, made, "check")).tolist() == list(range(7, TOY.ring, 8))
    # The catalogue's own ciphertexts hold nothing but +1 and -1, but are not the same for all entries.
    with file.path.open("rb") as stream:
        read = frames.read(stream)
    assert read is not None
    made = toy_engine.check_query(keys, b"".join(read[1]), b"seed", GROUPED)
    assert np.count_nonzero(decrypt(toy_engine, secrets, made, "check")) > TOY.ring // 4


def test_one_share_alone_decrypts_nothing(toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes) -> None:
    keys, secrets = toy_keys
    made = toy_engine.evaluate(keys, query, block, WHO, alive=alive(7), seed=b"seed")
    twice = toy_engine.share_decryption(secrets[0], made, lead=True, mode="who", common=b"c")
    other = toy_engine.share_decryption(secrets[0], made, lead=False, mode="who", common=b"c")
    assert 0 not in toy_engine.fuse([twice, other])[[1, 3, 6]]


def test_another_process_computes_the_same_bytes(
    engine_python: Path, toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes
) -> None:
    keys, _secrets = toy_keys
    with Engine(TOY, 2, "toy", python=engine_python) as other:
        for circuit in BIT, WHO:
            one, two = (
                engine.evaluate(keys, query, block, circuit, alive=alive(7), seed=b"seed")
                for engine in (toy_engine, other)
            )
            assert one == two
            assert one != toy_engine.evaluate(keys, query, block, circuit, alive=alive(7), seed=b"seeds")
        assert toy_engine.check_query(keys, query, b"seed") == other.check_query(keys, query, b"seed")


def test_sums_of_blocks_answer_for_all(
    toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes, tmp_path: Path
) -> None:
    keys, secrets = toy_keys
    far, _size = toy_engine.encrypt_block(keys, at_distance(CODE, 40) * 3, tmp_path / "far")
    made = [
        toy_engine.evaluate(keys, query, file, BIT, alive=alive(count), seed=b"seed%d" % count)
        for file, count in ((far, 3), (block, 7))
    ]
    assert decrypt(toy_engine, secrets, made[0], "bit")[0] == 0
    assert decrypt(toy_engine, secrets, toy_engine.add(made), "bit")[0] != 0


def test_well_formed_queries_and_blocks_pass_their_check(
    toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes
) -> None:
    keys, secrets = toy_keys
    checks = toy_engine.check_query(keys, query, b"seed"), toy_engine.check_block(keys, block, used=alive(7), seed=b"s")
    for made in checks:
        assert not decrypt(toy_engine, secrets, made, "check").any()


def test_malformed_queries_and_blocks_do_not(toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes) -> None:
    """Two queries added have 0, 2 and -2 for bits; a block with another number of used slots has a row too many."""
    keys, secrets = toy_keys
    other = toy_engine.encrypt_block(keys, CODE * 8, block.path.with_name("full"))[0]
    made = toy_engine.check_block(keys, other, used=alive(7), seed=b"seed")
    values = decrypt(toy_engine, secrets, made, "check")
    assert np.flatnonzero(values).tolist() == [7]
    made = toy_engine.check_block(keys, other, used=alive(9), seed=b"seed")
    assert np.flatnonzero(decrypt(toy_engine, secrets, made, "check")).tolist() == [8]
    # A row of ciphertexts is no query: its slots differ, and what is left of them after the trace is no +1 or -1.
    row = block.path.read_bytes()[-len(query) :]
    values = decrypt(toy_engine, secrets, toy_engine.check_query(keys, row, b"seed"), "check")
    assert np.count_nonzero(values) > TOY.ring - 10


def test_bytes_that_are_no_ciphertext_are_refused(
    toy_engine: Engine, toy_keys: Keys, block: FileName, query: bytes
) -> None:
    keys, secrets = toy_keys
    for bad in (b"", query[:-1], query[: len(query) // 2], query + bytes(1 << 16), bytes(len(query)), secrets[0]):
        with pytest.raises(BadInput):
            toy_engine.read_query(bad)
    evaluated = toy_engine.evaluate(keys, query, block, BIT, alive=alive(7), seed=b"seed")
    with pytest.raises(BadInput, match="level"):
        toy_engine.read_query(evaluated)
    with pytest.raises(BadInput, match="level"):
        toy_engine.share_decryption(secrets[0], query, lead=True, mode="bit")
    toy_engine.read_query(query)


def test_ciphertexts_of_other_keys_and_parameters_are_refused(
    engine_python: Path, toy_engine: Engine, query: bytes, tmp_path: Path
) -> None:
    with Engine(TOY, 2, "others", python=engine_python) as others, pytest.raises(BadInput, match="other keys"):
        others.read_query(query)
    wider = Scheme("toy-wider", 96, 2048, TOY.depth, TOY.prime_bits, secure=False)
    with Engine(wider, 2, "toy", python=engine_python) as others, pytest.raises(BadInput, match="other parameters"):
        others.read_query(query)


def test_changed_files_are_refused(
    engine_python: Path, toy_keys: Keys, block: FileName, query: bytes, tmp_path: Path
) -> None:
    keys, _secrets = toy_keys
    data = bytearray(block.path.read_bytes())
    data[-1] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(data)
    with Engine(TOY, 2, "toy", python=engine_python) as engine:
        with pytest.raises(BadInput, match="another content"):
            engine.check_block(keys, FileName(changed, block.sha256), used=alive(7), seed=b"")
        wrong = JointKeys(FileName(changed, keys.public.sha256), keys.relin, keys.automorphisms)
        with pytest.raises(BadInput, match="another content"):
            engine.encrypt_query(wrong, CODE)
        with pytest.raises(EngineFailed, match="No such file"):
            engine.check_block(keys, FileName(tmp_path / "none", block.sha256), used=alive(7), seed=b"")


@pytest.mark.parametrize("code", [b"", bytes(11), bytes(24)])
def test_codes_of_another_length_are_refused(toy_engine: Engine, toy_keys: Keys, code: bytes) -> None:
    with pytest.raises(BadInput, match="codes of 96 bits"):
        toy_engine.encrypt_query(toy_keys[0], code)


def test_a_block_has_at_least_one_row_and_at_most_one_a_slot(
    toy_engine: Engine, toy_keys: Keys, tmp_path: Path
) -> None:
    for rows in (b"", bytes(12 * (TOY.ring + 1)), bytes(13)):
        with pytest.raises(BadInput, match=f"1 to {TOY.ring}"):
            toy_engine.encrypt_block(toy_keys[0], rows, tmp_path / "block")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_engine_is_started_again_and_asked_again(
    engine_python: Path, toy_keys: Keys, block: FileName, query: bytes
) -> None:
    """Killed between two requests, then in the middle of one."""
    keys, _secrets = toy_keys
    with Engine(TOY, 2, "toy", python=engine_python) as engine:
        expected = engine.evaluate(keys, query, block, BIT, alive=alive(7), seed=b"seed")
        before = engine.process_id
        assert before is not None
        os.kill(before, signal.SIGKILL)
        middle = engine.status()["process"]
        assert middle != before

        # Stopped, it cannot be done before it is killed.
        os.kill(middle, signal.SIGSTOP)

        def kill_soon() -> None:
            time.sleep(0.1)
            os.kill(middle, signal.SIGKILL)

        killer = threading.Thread(target=kill_soon)
        killer.start()
        assert engine.evaluate(keys, query, block, BIT, alive=alive(7), seed=b"seed") == expected
        killer.join()
        assert engine.process_id not in (before, middle)


def test_memory_is_bounded(engine_python: Path, toy_keys: Keys, block: FileName, query: bytes) -> None:
    keys, _secrets = toy_keys
    limits = Limits(memory=1)
    with Engine(TOY, 2, "toy", limits, engine_python) as engine, pytest.raises(EngineFailed, match="memory"):
        engine.evaluate(keys, query, block, BIT, alive=alive(7), seed=b"seed")


def test_only_so_many_blocks_stay_in_memory(engine_python: Path, toy_keys: Keys, tmp_path: Path) -> None:
    keys, _secrets = toy_keys
    with Engine(TOY, 2, "toy", Limits(most_blocks=1), engine_python) as engine:
        files = [engine.encrypt_block(keys, CODE, tmp_path / name)[0] for name in ("a", "b")]
        for file in files:
            engine.check_block(keys, file, used=alive(1), seed=b"seed")
            assert engine.status()["blocks"] == 1
        # As many small ones as are no larger.
        for name in "cde":
            file, _size = engine.encrypt_block(keys, CODE, tmp_path / name, group=GROUPED)
            engine.load(file, GROUPED)
        assert engine.status()["blocks"] == 3
        engine.load(files[1])
        # What is in memory is not read again: the file may be away.
        files[1].path.unlink()
        engine.check_block(keys, files[1], used=alive(1), seed=b"seed")


def test_memory_decides_about_blocks_where_they_are_not_counted() -> None:
    full = scheme_for(96)
    assert Limits().blocks_for(full) == 2
    assert Limits(most_blocks=5, memory=1).blocks_for(full) == 5
    assert Limits(memory=1).blocks_for(full) == 1
    for count in 1, 7:
        assert Limits(memory=Limits(most_blocks=count).memory_for(full)).blocks_for(full) == count


@pytest.mark.parametrize("length", [96, 192])
def test_more_threads_compute_the_same_bytes(engine_python: Path, tmp_path: Path, length: int) -> None:
    """Of all that is split among threads, also where they are more than the columns of a block; and the right ones."""
    code = bytes(range(length // 8))
    rows = b"".join(at_distance(code, distance, distance) for distance in (25, 24, 30, 0))
    near, far = (np.isin(np.arange(SCHEMES[f"toy-bgv-v1-{length}"].ring), slots) for slots in ((0, 1, 2, 3), (0, 2)))
    circuits = {policy: compile_circuit(policy, length, TAU) for policy in Policy}
    with Engine(SCHEMES[f"toy-bgv-v1-{length}"], 2, "threads", python=engine_python) as engine:
        keys, secrets = make_keys(engine, tmp_path)
        for group in ALONE, GROUPED:
            query = engine.encrypt_query(keys, code, group)
            block, _size = engine.encrypt_block(keys, rows, tmp_path / f"{group}", group=group)
            made = []
            for threads in (1, 2, 4):
                engine.use_threads(threads)
                evaluate = partial(engine.evaluate, keys, query, block, seed=b"seed", group=group)
                made.append([
                    evaluate(circuits[Policy.WHO], alive=near),
                    evaluate(circuits[Policy.BIT], alive=near),
                    evaluate(circuits[Policy.BIT], alive=far),
                    engine.check_query(keys, query, b"seed", group),
                    engine.check_block(keys, block, used=near, seed=b"seed", group=group),
                ])
            assert made[0] == made[1] == made[2]
            who, matches, none, *checks = made[0]
            assert np.flatnonzero(decrypt(engine, secrets, who, "who") == 0).tolist() == [1, 3]
            assert decrypt(engine, secrets, matches, "bit")[0] != 0
            assert decrypt(engine, secrets, none, "bit")[0] == 0
            for check in checks:
                assert not decrypt(engine, secrets, check, "check").any()


def test_three_parties(engine_python: Path, tmp_path: Path) -> None:
    with Engine(TOY, 3, "three", python=engine_python) as engine:
        keys, secrets = make_keys(engine, tmp_path)
        made = engine.check_query(keys, engine.encrypt_query(keys, CODE), b"seed")
        assert not decrypt(engine, secrets, made, "check").any()
        assert decrypt(engine, secrets[:2], made, "check").any()


def test_the_longest_codes_at_the_largest_threshold(engine_python: Path, tmp_path: Path) -> None:
    code = bytes(range(32))
    with Engine(SCHEMES["toy-bgv-v1-256"], 2, "long", python=engine_python) as engine:
        keys, secrets = make_keys(engine, tmp_path)
        rows = b"".join(at_distance(code, distance, distance) for distance in (33, 32, 0, 34))
        block, _size = engine.encrypt_block(keys, rows, tmp_path / "block")
        query = engine.encrypt_query(keys, code)
        slots = np.arange(engine.scheme.ring)
        grouped, _size = engine.encrypt_block(keys, rows, tmp_path / "grouped", group=GROUPED)
        for policy in Policy:
            circuit = compile_circuit(policy, 256, 32)
            packed = engine.encrypt_query(keys, code, GROUPED)
            made = engine.evaluate(keys, packed, grouped, circuit, alive=slots < 4, seed=b"seed", group=GROUPED)
            values = decrypt(engine, secrets, made, str(policy))
            assert np.flatnonzero(values == 0).tolist() == [1, 2] if policy is Policy.WHO else values[0] != 0
            made = engine.evaluate(keys, query, block, circuit, alive=slots < 4, seed=b"seed")
            values = decrypt(engine, secrets, made, str(policy))
            if policy is Policy.WHO:
                assert np.flatnonzero(values == 0).tolist() == [1, 2]
            else:
                assert values[0] != 0
                made = engine.evaluate(keys, query, block, circuit, alive=slots % 4 == 0, seed=b"seed")
                assert decrypt(engine, secrets, made, "bit")[0] == 0


def test_the_library_finds_128_bits_at_both_depths(engine_python: Path) -> None:
    """At the full parameters: opening a context is what the library refuses below 128 bits."""
    for length in (96, 256):
        with Engine(scheme_for(length), 2, "full", python=engine_python) as engine:
            secret, public = engine.share_keys(None)
            assert len(public) > len(secret) > scheme_for(length).block_bytes / length / 2


def test_the_library_refuses_parameters_of_less_security(engine_python: Path) -> None:
    weak = Scheme("weak", 96, 16384, 8, 50, secure=True)
    with Engine(weak, 2, "weak", python=engine_python) as engine, pytest.raises(EngineFailed, match="ring"):
        engine.status()


def test_where_nothing_fits_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROVENANCE_OPENFHE", str(tmp_path / "python"))
    with pytest.raises(EngineUnavailable, match="PROVENANCE_OPENFHE names"):
        engine_setup.find()
    monkeypatch.delenv("PROVENANCE_OPENFHE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in engine_setup.find, engine_setup.set_up:
        with pytest.raises(EngineUnavailable, match=r"Install Python 3\.10.*provenance private setup"):
            ask()

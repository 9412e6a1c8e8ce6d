"""Many workers: the same bytes as one engine, whoever is killed; one that lies is found."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from provenance.private_lookup.circuit import Policy, compile_circuit
from provenance.private_lookup.engine import Engine, JointKeys, work_memory
from provenance.private_lookup.errors import EngineFailed, EngineUnavailable, WorkerLied
from provenance.private_lookup.scheme import ALONE, GROUPED, scheme_for
from provenance.private_lookup.work import Crowd, Evaluates, Job, LocalWorkers, Member, Task, evaluate_here
from provenance.private_lookup.work_ray import Node, RayWorkers
from tests.provenance.private_lookup.conftest import TOY
from tests.provenance.private_lookup.held import HeldFile

CODE = bytes(range(12))


class Lying:
    """Adds one to the last byte of every answer."""

    def __init__(self, honest: Evaluates) -> None:
        self._honest = honest

    def evaluate_blocks(self, job: Job, tasks: Sequence[Task]) -> list[bytes]:
        return [_falsified(made) for made in self._honest.evaluate_blocks(job, tasks)]


class LyingNode(Node):
    """Lies where it has two processors."""

    def __init__(self, scheme_id: str, parties: int, tag: str, cores: int, memory: int | None = None) -> None:
        super().__init__(scheme_id, parties, tag, cores, memory)
        self._lies = cores == 2

    def evaluate(self, job: Job, tasks: list[Task]) -> list[bytes]:
        made = super().evaluate(job, tasks)
        return list(map(_falsified, made)) if self._lies else made


class Gone:
    """Was there once."""

    def evaluate_blocks(self, job: Job, tasks: Sequence[Task]) -> list[bytes]:
        raise EngineFailed("gone")


def _falsified(made: bytes) -> bytes:
    return made[:-1] + bytes([(made[-1] + 1) % 256])


@pytest.fixture(scope="module")
def work(
    toy_engine: Engine, toy_keys: tuple[JointKeys, list[bytes]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, list[Task], list[bytes]]:
    """Five blocks, and what one engine makes of them."""
    keys, _secrets = toy_keys
    folder = tmp_path_factory.mktemp("blocks")
    alive = np.arange(TOY.ring) < 8
    tasks = []
    for number in range(5):
        codes = np.random.default_rng(number).bytes(8 * 12)
        file, _size = toy_engine.encrypt_block(keys, codes, folder / f"{number}", group=GROUPED)
        tasks.append(Task(file, alive, b"seed%d" % number))
    job = Job(keys, toy_engine.encrypt_query(keys, CODE, GROUPED), compile_circuit(Policy.BIT, 96, 24), GROUPED)
    return job, tasks, evaluate_here(toy_engine, job, tasks)


@pytest.fixture(scope="module")
def workers(engine_python: Path) -> Iterator[LocalWorkers]:
    with LocalWorkers(TOY, 2, "toy", cores=2, python=engine_python) as made:
        yield made


def test_local_workers_compute_what_one_engine_does(
    workers: LocalWorkers, work: tuple[Job, list[Task], list[bytes]]
) -> None:
    job, tasks, expected = work
    assert workers.evaluate_blocks(job, tasks) == expected
    assert workers.evaluate_blocks(job, tasks[:1]) == expected[:1]
    one, other = workers.process_ids
    assert one != other
    os.kill(other, signal.SIGKILL)
    assert workers.evaluate_blocks(job, tasks) == expected
    assert other not in workers.process_ids


def test_a_process_that_is_killed_while_it_evaluates_is_replaced_but_only_once(
    workers: LocalWorkers,
    toy_engine: Engine,
    toy_keys: tuple[JointKeys, list[bytes]],
    work: tuple[Job, list[Task], list[bytes]],
    tmp_path: Path,
) -> None:
    job, tasks, expected = work
    engine = workers._engines[1]

    def kill() -> None:
        assert engine.process_id is not None
        os.kill(engine.process_id, signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        for kills in (1, 2):
            # No process has it in memory yet.
            codes = np.random.default_rng(100 + kills).bytes(8 * 12)
            path = tmp_path / f"{kills}"
            file, _size = toy_engine.encrypt_block(toy_keys[0], codes, path, group=GROUPED)
            asked = [tasks[0], replace(tasks[1], block=file)]
            with HeldFile(path) as first:
                answer = pool.submit(workers.evaluate_blocks, job, asked)
                first.wait()
                first.put_back()
                if kills == 1:
                    kill()
                    assert answer.result(120) == [expected[0], *evaluate_here(toy_engine, job, asked[1:])]
                    continue
                with HeldFile(path) as second:
                    kill()
                    second.wait()
                    second.put_back()
                    kill()
                    with pytest.raises(EngineFailed, match="ended twice during 'evaluate'"):
                        answer.result(120)
    assert workers.evaluate_blocks(job, tasks) == expected


def test_processors_are_kept_busy_and_memory_is_kept_to(engine_python: Path) -> None:
    full = scheme_for(96)
    one = work_memory(full) + full.block_bytes
    for memory, most in ((one, 1), (3 * one, 3), (100 * one, 4)):
        workers = LocalWorkers(full, 2, "t", cores=4, memory=memory, python=engine_python)
        assert workers.plan(100, GROUPED) == (most, 4 // most)
        assert workers.plan(1, GROUPED) == (1, 4)
        # Every process takes the query apart.
        assert workers.plan(7, ALONE) == (1, 4)
        assert workers.plan(16, ALONE) == (min(2, most), 4 // min(2, most))


def test_what_a_worker_that_is_gone_had_to_do_others_do(
    workers: LocalWorkers, work: tuple[Job, list[Task], list[bytes]]
) -> None:
    job, tasks, expected = work
    crowd = Crowd([Member("gone", Gone()), Member("here", workers)])
    assert crowd.evaluate_blocks(job, tasks) == expected
    assert [member.name for member in crowd.members] == ["here"]
    with pytest.raises(EngineFailed, match="All workers are gone"):
        Crowd([Member("gone", Gone())]).evaluate_blocks(job, tasks)


def test_a_lying_worker_is_found_where_its_block_is_done_twice(
    workers: LocalWorkers, work: tuple[Job, list[Task], list[bytes]]
) -> None:
    job, tasks, expected = work
    members = [Member("liar", Lying(workers)), Member("one", workers), Member("two", workers)]
    crowd = Crowd(members, doubled=len(tasks))
    with pytest.raises(WorkerLied, match="liar evaluated a block falsely"):
        crowd.evaluate_blocks(job, tasks)
    assert crowd.evaluate_blocks(job, tasks) == expected
    with pytest.raises(WorkerLied, match="no third"):
        Crowd(members[:2], doubled=len(tasks)).evaluate_blocks(job, tasks)
    # Nothing was compared, so that nobody knows.
    assert Crowd(members, doubled=0).evaluate_blocks(job, tasks) != expected


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install -r requirements-ray.txt")
def test_several_ray_nodes_compute_what_one_engine_does(work: tuple[Job, list[Task], list[bytes]]) -> None:
    """Three nodes on this machine; then one of them is taken away, and then one lies."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    job, tasks, expected = work
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=cores) for cores in (1, 2)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        workers = RayWorkers(None, TOY, 2, "toy", actor=LyingNode, doubled=len(tasks))
        assert len(workers.members) == 3
        with pytest.raises(WorkerLied, match=r"worker \d at .* evaluated a block falsely"):
            workers.evaluate_blocks(job, tasks)
        assert len(workers.members) == 2
        assert workers.evaluate_blocks(job, tasks) == expected
        workers.close()
        honest = RayWorkers(None, TOY, 2, "toy")
        assert honest.evaluate_blocks(job, tasks) == expected
        cluster.remove_node(nodes[0], allow_graceful=False)
        assert honest.evaluate_blocks(job, tasks) == expected
        assert len(honest.members) == 2
        honest.close()
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineUnavailable, match=r"requirements-ray\.txt"):
        RayWorkers("auto", TOY, 2, "toy")

"""Workers on other machines through Ray (optional: ``pip install -r requirements-ray.txt``), one for each node.

A node needs this package, OpenFHE's interpreter, and nothing secret. Keys and blocks that it does not have are sent to
it once and kept in a folder of its own, named by their SHA-256. Ray itself proves nobody: run it in a network of its
own, or with its TLS switched on. What a node returns is unpickled here, so that whoever controls a node controls this
process: use only machines that are trusted with what it has. Doing blocks twice finds faults here, not attackers.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from provenance.private_lookup.engine import FileName, JointKeys
from provenance.private_lookup.errors import EngineFailed, EngineUnavailable, PrivateLookupError
from provenance.private_lookup.identity import write_whole
from provenance.private_lookup.scheme import Scheme, scheme
from provenance.private_lookup.work import Crowd, Job, LocalWorkers, Member, Task

_SECONDS_TO_BEGIN = 120


class Node:
    """What runs on one node.

    Args:
        scheme_id: the parameters.
        parties: number of key shares.
        tag: names the joint keys.
        cores: processors of the node.
        memory: bytes that its engines may use; by default half of the node's.
        folder: where files are kept; by default one that goes with the worker.
        python: the node's interpreter that has OpenFHE; found when left out.
    """

    def __init__(
        self,
        scheme_id: str,
        parties: int,
        tag: str,
        cores: int,
        memory: int | None = None,
        folder: Path | None = None,
        python: Path | None = None,
    ) -> None:
        self._temporary = None if folder else tempfile.TemporaryDirectory()
        self._folder = folder or Path(self._temporary.name if self._temporary else "")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._workers = LocalWorkers(scheme(scheme_id), parties, tag, cores=cores, memory=memory, python=python)

    def missing(self, sums: Sequence[str]) -> list[str]:
        """Return which files are not here, by SHA-256."""
        return [sha256 for sha256 in sums if not (self._folder / sha256).exists()]

    def keep(self, sha256: str, data: bytes) -> None:
        """Keep a file. The engine proves its content when it reads it."""
        if hashlib.sha256(data).hexdigest() == sha256:
            write_whole(self._folder / sha256, data)

    def evaluate(self, job: Job, tasks: list[Task]) -> list[bytes]:
        """Evaluate blocks whose files are here."""
        here = replace(job, keys=_renamed(job.keys, self._here))
        return self._workers.evaluate_blocks(here, [replace(task, block=self._here(task.block)) for task in tasks])

    def close(self) -> None:
        """End the engines."""
        self._workers.close()

    def _here(self, file: FileName) -> FileName:
        return FileName(self._folder / file.sha256, file.sha256)


def _renamed(keys: JointKeys, rename: Any) -> JointKeys:
    automorphisms = {index: rename(file) for index, file in keys.automorphisms.items()}
    return JointKeys(rename(keys.public), rename(keys.relin), automorphisms)


class RayNode:
    """A node as the crowd sees it."""

    def __init__(self, ray: Any, actor: Any, scheme: Scheme) -> None:
        self._ray, self._actor, self._scheme = ray, actor, scheme

    def evaluate_blocks(self, job: Job, tasks: Sequence[Task]) -> list[bytes]:
        """See :meth:`work.Evaluates.evaluate_blocks`."""
        needed = [job.keys.automorphisms[index] for index in self._scheme.needed(job.group)]
        files = {file.sha256: file for file in (job.keys.relin, *needed, *(task.block for task in tasks))}
        try:
            for sha256 in self._ray.get(self._actor.missing.remote(list(files))):
                self._ray.get(self._actor.keep.remote(sha256, files[sha256].path.read_bytes()))
            done: list[bytes] = self._ray.get(self._actor.evaluate.remote(job, list(tasks)))
        except PrivateLookupError as problem:
            raise EngineFailed(f"A worker cannot evaluate: {problem}") from problem
        except self._ray.exceptions.RayError as problem:
            raise EngineFailed("A worker is gone.") from problem
        if len(done) != len(tasks) or any(type(one) is not bytes for one in done):
            raise EngineFailed("A worker returned something else than ciphertexts.")
        return done

    def close(self) -> None:
        """End the worker."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.get(self._actor.close.remote(), timeout=_SECONDS_TO_BEGIN)
        self._ray.kill(self._actor)


class RayWorkers(Crowd):
    """A crowd of one worker on each living node of a Ray cluster.

    Args:
        address: of the cluster, as ``ray.init`` takes it; None where this process is connected already.
        doubled: see :class:`work.Crowd`.
        actor: what runs on a node, a :class:`Node`.

    Raises:
        EngineUnavailable: Ray is not installed, or no cluster answers.
    """

    def __init__(
        self,
        address: str | None,
        scheme: Scheme,
        parties: int,
        tag: str,
        *,
        memory: int | None = None,
        doubled: int = 1,
        actor: type[Node] = Node,
    ) -> None:
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError as problem:
            raise EngineUnavailable("Ray is not installed: pip install -r requirements-ray.txt") from problem
        try:
            if not ray.is_initialized():
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as problem:
            raise EngineUnavailable(f"No Ray cluster answers at {address}.") from problem
        members = []
        self._nodes = []
        for number, node in enumerate(one for one in ray.nodes() if one["Alive"]):
            cores = int(node["Resources"].get("CPU", 0))
            if cores:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                made = ray.remote(num_cpus=cores, scheduling_strategy=place)(actor)
                handle = made.remote(scheme.id, parties, tag, cores, memory)
                self._nodes.append(RayNode(ray, handle, scheme))
                members.append(Member(f"worker {number} at {node['NodeManagerAddress']}", self._nodes[-1]))
        if not members:
            raise EngineUnavailable("The Ray cluster has no node with a processor.")
        super().__init__(members, doubled)

    def close(self) -> None:
        """End the workers; the cluster stays."""
        for node in self._nodes:
            node.close()

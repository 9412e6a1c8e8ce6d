"""Blocks are independent: many workers evaluate them, on this machine or on others, trusted or not.

Whoever evaluates sees ciphertexts only, but may return anything. So a few blocks, chosen at random, are given to two
workers, whose bytes must be the same; where they are not, a third tells who lies. Each block goes to the same worker
every time, so that it is in memory there.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import psutil

from provenance.private_lookup.circuit import Circuit
from provenance.private_lookup.engine import Engine, FileName, JointKeys, Limits, work_memory
from provenance.private_lookup.errors import EngineFailed, WorkerLied
from provenance.private_lookup.scheme import ALONE, Scheme

# Taking a query apart costs as much as evaluating a few blocks: a process that has fewer is not worth its own.
_BLOCKS_WORTH_TAKING_APART = 8


@dataclass(frozen=True)
class Task:
    """One block of an evaluation.

    Attributes:
        block: its file.
        alive: bool ``[ring]``; see :meth:`engine.Engine.evaluate`.
        seed: of its masks.
    """

    block: FileName
    alive: npt.NDArray[np.bool_]
    seed: bytes


@dataclass(frozen=True)
class Job:
    """What all blocks of an evaluation have in common.

    Attributes:
        keys: the joint keys.
        query: encrypted for blocks of this ``group``.
        circuit: what is evaluated.
        group: slots of an entry.
    """

    keys: JointKeys
    query: bytes
    circuit: Circuit
    group: int


class Evaluates(Protocol):
    """Whatever evaluates blocks."""

    def evaluate_blocks(self, job: Job, tasks: Sequence[Task]) -> list[bytes]:
        """Return one ciphertext for each block.

        Raises:
            EngineFailed: it cannot.
        """


def evaluate_here(engine: Engine, job: Job, tasks: Sequence[Task]) -> list[bytes]:
    """Have one engine evaluate blocks, those in its memory first."""
    resident = set(engine.status()["resident"]) if len(tasks) > 1 else set()
    order = sorted(range(len(tasks)), key=lambda number: tasks[number].block.sha256 not in resident)
    made = {}
    for number in order:
        task = tasks[number]
        made[number] = engine.evaluate(
            job.keys, job.query, task.block, job.circuit, alive=task.alive, seed=task.seed, group=job.group
        )
    return [made[number] for number in range(len(tasks))]


class LocalWorkers:
    """Engines on this machine: as many processes, of as many threads, as keep its processors busy and no more.

    Args:
        scheme: the parameters.
        parties: number of key shares.
        tag: names the joint keys.
        cores: processors to keep busy; by default all that this process may use.
        memory: bytes that all engines together may use; by default half of the machine's.
        python: the interpreter that has OpenFHE; found when left out.
    """

    def __init__(
        self,
        scheme: Scheme,
        parties: int,
        tag: str,
        *,
        cores: int | None = None,
        memory: int | None = None,
        python: Path | None = None,
    ) -> None:
        self._cores = cores or len(os.sched_getaffinity(0))
        available = memory or psutil.virtual_memory().total // 2
        most = max(1, min(self._cores, available // (work_memory(scheme) + scheme.block_bytes)))
        limits = Limits(memory=max(available // most, work_memory(scheme) + scheme.block_bytes))
        self._engines = [Engine(scheme, parties, tag, limits, python) for _process in range(most)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes."""
        for engine in self._engines:
            engine.close()

    @property
    def engine(self) -> Engine:
        """One of them, for what is not evaluating."""
        return self._engines[0]

    @property
    def process_ids(self) -> list[int]:
        """The running processes."""
        return [engine.process_id for engine in self._engines if engine.process_id is not None]

    def plan(self, blocks: int, group: int) -> tuple[int, int]:
        """Return how many processes evaluate so many blocks, and the threads of each."""
        worth = blocks if group != ALONE else blocks // _BLOCKS_WORTH_TAKING_APART
        processes = max(1, min(len(self._engines), worth))
        return processes, max(1, self._cores // processes)

    def evaluate_blocks(self, job: Job, tasks: Sequence[Task]) -> list[bytes]:
        """See :meth:`Evaluates.evaluate_blocks`."""
        processes, threads = self.plan(len(tasks), job.group)
        for engine in self._engines[:processes]:
            engine.use_threads(threads)
        return _in_parallel(
            [partial(evaluate_here, engine, job) for engine in self._engines[:processes]],
            tasks,
            [number % processes for number in range(len(tasks))],
        )


@dataclass(frozen=True)
class Member:
    """A worker that need not be trusted.

    Attributes:
        name: what it is called in messages.
        evaluates: does the work; raises EngineFailed when it is gone.
    """

    name: str
    evaluates: Evaluates


class Crowd:
    """Workers of which any may be gone or lie.

    Args:
        members: at least one.
        doubled: how many blocks of each evaluation two of them evaluate; 0 trusts them. The chance that one false block
            of n goes unnoticed is 1 - doubled / n a question.
    """

    def __init__(self, members: Sequence[Member], doubled: int = 1) -> None:
        if not members:
            raise ValueError("a crowd of nobody")
        self.members = list(members)
        self._doubled = doubled

    def evaluate_blocks(self, job: Job, tasks: Sequence[Task]) -> list[bytes]:
        """Return one ciphertext for each block. What a worker that is gone had to do, others do.

        Raises:
            EngineFailed: all are gone.
            WorkerLied: two workers' bytes differ. A worker that two others contradict gets no more work.
        """
        made: dict[int, bytes] = {}
        by: dict[int, Member] = {}
        while len(made) < len(tasks):
            left = [number for number in range(len(tasks)) if number not in made]
            places = [number % len(self.members) for number in left]
            for number, place, result in self._try([tasks[number] for number in left], places, left, job):
                made[number], by[number] = result, self.members[place]
            self._drop_gone()
        self._compare(job, tasks, made, by)
        return [made[number] for number in range(len(tasks))]

    def _try(
        self, tasks: Sequence[Task], places: Sequence[int], numbers: Sequence[int], job: Job
    ) -> list[tuple[int, int, bytes]]:
        """Have each member do its part, and return what was done: number, place and ciphertext."""
        parts: dict[int, list[int]] = defaultdict(list)
        for at, place in enumerate(places):
            parts[place].append(at)
        self._gone: list[Member] = []

        def one(place: int) -> list[tuple[int, int, bytes]]:
            member = self.members[place]
            try:
                results = member.evaluates.evaluate_blocks(job, [tasks[at] for at in parts[place]])
            except EngineFailed:
                self._gone.append(member)
                return []
            return [(numbers[at], place, result) for at, result in zip(parts[place], results, strict=True)]

        with ThreadPoolExecutor(len(parts)) as pool:
            return [done for some in pool.map(one, list(parts)) for done in some]

    def _drop_gone(self) -> None:
        self.members = [member for member in self.members if member not in self._gone]
        if not self.members:
            raise EngineFailed("All workers are gone: none answers.")

    def _compare(self, job: Job, tasks: Sequence[Task], made: dict[int, bytes], by: dict[int, Member]) -> None:
        count = min(self._doubled, len(tasks))
        if len(self.members) < 2 or not count:
            return
        chosen = secrets.SystemRandom().sample(range(len(tasks)), count)
        # Nobody can tell from its work which of it is done twice.
        others = {number: self._other(by[number]) for number in chosen}
        places = [self.members.index(others[number]) for number in chosen]
        for number, place, result in self._try([tasks[number] for number in chosen], places, chosen, job):
            if result != made[number]:
                raise self._liar(job, tasks[number], {by[number].name: made[number], self.members[place].name: result})

    def _other(self, member: Member) -> Member:
        return secrets.choice([other for other in self.members if other is not member])

    def _liar(self, job: Job, task: Task, said: dict[str, bytes]) -> WorkerLied:
        for member in self.members:
            if member.name not in said:
                try:
                    (said[member.name],) = member.evaluates.evaluate_blocks(job, [task])
                except EngineFailed:
                    continue
                (right, votes), *_rest = Counter(said.values()).most_common()
                if votes > 1:
                    (liar,) = [name for name, result in said.items() if result != right]
                    self.members = [one for one in self.members if one.name != liar]
                    return WorkerLied(f"{liar} evaluated a block falsely and gets no more work. Ask anew.")
        return WorkerLied(f"{' and '.join(said)} disagree about a block, and there is no third to tell who lies.")


def _in_parallel(
    members: Sequence[Callable[[Sequence[Task]], list[bytes]]], tasks: Sequence[Task], places: Sequence[int]
) -> list[bytes]:
    parts = [[at for at, place in enumerate(places) if place == number] for number in range(len(members))]
    made: dict[int, bytes] = {}
    with ThreadPoolExecutor(len(members)) as pool:
        done = pool.map(lambda number: members[number]([tasks[at] for at in parts[number]]), range(len(members)))
        for part, results in zip(parts, done, strict=True):
            made.update(zip(part, results, strict=True))
    return [made[at] for at in range(len(tasks))]

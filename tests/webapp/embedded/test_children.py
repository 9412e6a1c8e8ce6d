"""The processes of a site: started again when they die, and ended with everything that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from webapp.embedded import children
from webapp.embedded.children import Child, end_orphans
from webapp.embedded.waiting import within

# Starts a helper, writes both numbers down, and waits; told "deaf", neither minds being asked to end.
PARENT = """
import os, signal, subprocess, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], restore_signals=False)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()} {helper.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
print("one line", flush=True)
print("another", file=sys.stderr, flush=True)
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., tuple[Child, list[int]]]]:
    """Start a child with a helper; return it with both process ids."""
    started = []

    def start(*arguments: str, grace: float = 5.0) -> tuple[Child, list[int]]:
        numbers = tmp_path / f"numbers-{len(started)}"
        command = [sys.executable, "-c", PARENT, str(numbers), *arguments]
        child = Child("worker", command, data_dir=tmp_path, environment={"GIVEN": "yes"}, grace=grace)
        started.append(child)
        child.start()
        assert within(20, numbers.exists)
        return child, [int(number) for number in numbers.read_text().split()]

    yield start
    for child in started:
        child.kill()


def test_it_works(launch, capfd):
    child, (parent, helper) = launch()
    said = ""

    def said_all() -> bool:
        nonlocal said
        said += capfd.readouterr().out
        return "worker  | one line\n" in said and "worker  | another\n" in said

    assert within(20, said_all)
    assert child.poll() is None
    assert psutil.Process(parent).environ()["GIVEN"] == "yes"
    # A session of its own: Ctrl-C at the terminal is the launcher's alone.
    assert os.getsid(parent) == os.getsid(helper) == parent
    child.ask_to_end()
    child.wait_for_end()
    assert not alive(parent)
    # Ended with it, but nobody waits for a grandchild.
    assert within(10, lambda: not alive(helper))


def test_a_child_that_hears_nothing_is_ended_after_its_grace(launch, capfd):
    child, (parent, helper) = launch("deaf", grace=0.3)
    child.ask_to_end()
    child.wait_for_end()
    assert not alive(parent)
    # Ended with it, but nobody waits for a grandchild.
    assert within(10, lambda: not alive(helper))
    assert "did not end within" in capfd.readouterr().out


def test_a_dead_child_starts_again_without_its_old_helpers(launch, monkeypatch, capfd):
    monkeypatch.setattr(children, "_FIRST_PAUSE", 0.01)
    child, (parent, helper) = launch()
    os.kill(parent, signal.SIGKILL)
    assert within(10, lambda: not alive(parent))
    child.watch()
    assert within(10, lambda: not alive(helper))
    assert "was ended by SIGKILL" in capfd.readouterr().out
    time.sleep(0.02)
    child.watch()
    assert child.poll() is None
    assert child.failures == 1


def test_pauses_grow_while_it_keeps_dying(tmp_path, monkeypatch, capfd):
    clock = [1000.0]
    monkeypatch.setattr(children.time, "monotonic", lambda: clock[0])
    child = Child("web", [sys.executable, "-c", "raise SystemExit(3)"], data_dir=tmp_path, environment={}, grace=1)
    child.start()
    pauses = []
    for _ in range(7):
        assert _ended(child) == 3
        child.watch()
        pauses.append(next(n for n in (1, 2, 4, 8, 16, 30) if _starts_after(child, clock, n)))
    child.kill()
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    assert "web ended with status 3; it starts again in 1 s." in capfd.readouterr().out


def _ended(child: Child) -> int | None:
    assert child._process is not None
    return child._process.wait(20)


def _starts_after(child: Child, clock: list[float], pause: float) -> bool:
    """Return whether it starts again exactly that many seconds after now."""
    before = clock[0]
    clock[0] = before + pause - 0.01
    child.watch()
    too_early = child._process is not None
    clock[0] = before + pause
    child.watch()
    assert not too_early
    started = child._process is not None
    if not started:
        clock[0] = before
    return started


def test_what_a_killed_launcher_left_is_found_and_ended(tmp_path):
    numbers = tmp_path / "numbers"
    code = (
        "import os, pathlib, sys; from webapp.embedded.children import Child;"
        "command = [sys.executable, '-c', sys.argv[2], sys.argv[3], 'deaf'];"
        "Child('worker', command, data_dir=pathlib.Path(sys.argv[1]), environment={}, grace=1).start();"
        "sys.stdin.read()"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path, PARENT, numbers], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert within(20, numbers.exists)
    launcher.kill()
    launcher.communicate()
    parent, helper = (int(number) for number in numbers.read_text().split())
    assert alive(parent)
    assert alive(helper)
    # Even with the leader of the group dead, the helper is found.
    os.kill(parent, signal.SIGKILL)
    assert within(10, lambda: not alive(parent))
    assert end_orphans(tmp_path / "another site", grace=0.2) == 0
    assert alive(helper)
    assert end_orphans(tmp_path, grace=0.2) == 1
    assert within(10, lambda: not alive(helper))
    assert end_orphans(tmp_path, grace=0.2) == 0

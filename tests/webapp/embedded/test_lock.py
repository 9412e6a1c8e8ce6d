"""One launcher for a data folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from webapp.embedded.lock import Holder, LauncherLock


def test_it_works(tmp_path):
    first, second = LauncherLock(tmp_path), LauncherLock(tmp_path)
    assert second.holder() is None
    assert first.take() is True
    assert second.take() is False
    assert second.holder() == Holder(os.getpid(), "")
    first.tell("http://127.0.0.1:8000")
    assert second.holder() == Holder(os.getpid(), "http://127.0.0.1:8000")
    first.let_go()
    assert second.holder() is None
    assert second.take() is True


def test_a_shorter_address_replaces_a_longer(tmp_path):
    lock = LauncherLock(tmp_path)
    lock.take()
    lock.tell("http://a-rather-long-host.example:8000")
    lock.tell("http://b:1")
    holder = LauncherLock(tmp_path).holder()
    assert holder is not None
    assert holder.url == "http://b:1"


def test_only_who_has_it_may_tell(tmp_path):
    with pytest.raises(ValueError, match="not taken"):
        LauncherLock(tmp_path).tell("http://b:1")


def test_the_lock_of_a_killed_launcher_is_free(tmp_path):
    code = (
        "import pathlib, sys; from webapp.embedded.lock import LauncherLock;"
        "lock = LauncherLock(pathlib.Path(sys.argv[1])); print(lock.take(), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    assert LauncherLock(tmp_path).holder() == Holder(other.pid, "")
    other.kill()
    other.communicate()
    assert LauncherLock(tmp_path).holder() is None

"""The embedded PostgreSQL: it starts, survives every way of being killed, and refuses what it must not touch."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from webapp.embedded import postgres, programs
from webapp.embedded.places import place_of
from webapp.embedded.postgres import PostgresError, ensure_running, status, stop
from webapp.embedded.waiting import within


def connect(socket: Path) -> psycopg.Connection:
    return psycopg.connect(host=str(socket), user="postgres", dbname="postgres", autocommit=True)


def write_row(socket: Path) -> None:
    with connect(socket) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def read_row(socket: Path) -> int:
    with connect(socket) as connection:
        return connection.execute("SELECT answer FROM kept").fetchone()[0]


def kill(pid: int) -> None:
    """Kill a process at once and wait until it is gone or a corpse."""
    os.kill(pid, signal.SIGKILL)
    assert within(10, lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_it_works_with_pgvector(empty_dir):
    with connect(ensure_running(empty_dir)) as connection:
        connection.execute("CREATE EXTENSION vector")
        distance = connection.execute("SELECT B'1011'::bit(4) <~> B'0010'::bit(4)").fetchone()[0]
        assert distance == 2
        assert connection.execute("SHOW server_encoding").fetchone()[0] == "UTF8"
        assert connection.execute("SHOW jit").fetchone()[0] == "off"
        assert connection.execute("SELECT upper('ß-é-д')").fetchone()[0] == "ß-É-Д"


def test_second_start_finds_the_first(data_dir):
    socket = ensure_running(data_dir)
    pid = status(data_dir).pid
    assert ensure_running(data_dir) == socket
    assert status(data_dir).pid == pid


def test_status_and_place_change_nothing(empty_dir):
    assert status(empty_dir).pid is None
    assert postgres.socket_directory(empty_dir) == status(empty_dir).place.socket
    assert list(empty_dir.iterdir()) == []


def test_stop_ends_it_in_spite_of_open_transactions(data_dir):
    socket = ensure_running(data_dir)
    write_row(socket)
    with psycopg.connect(host=str(socket), user="postgres", dbname="postgres") as open_connection:
        open_connection.execute("UPDATE kept SET answer = 0")
        assert stop(data_dir) is True
        with pytest.raises(psycopg.OperationalError):
            open_connection.commit()
    assert status(data_dir).pid is None
    assert stop(data_dir) is False
    assert read_row(ensure_running(data_dir)) == 42


def test_stop_without_a_folder(empty_dir):
    assert stop(empty_dir / "absent") is False
    assert not (empty_dir / "absent").exists()


def test_kill_9_of_the_postmaster_loses_no_row(data_dir):
    socket = ensure_running(data_dir)
    write_row(socket)
    killed = status(data_dir).pid
    kill(killed)
    assert status(data_dir).pid is None
    assert read_row(ensure_running(data_dir)) == 42
    assert status(data_dir).pid != killed


def test_a_helper_that_outlives_the_postmaster_is_ended_first(data_dir, monkeypatch):
    monkeypatch.setattr(postgres, "_HELPER_SECONDS", 0.2)
    socket = ensure_running(data_dir)
    write_row(socket)
    with connect(socket) as connection:
        helper = connection.info.backend_pid
        # A stopped process cannot notice that the postmaster is gone.
        os.kill(helper, signal.SIGSTOP)
        kill(status(data_dir).pid)
        assert read_row(ensure_running(data_dir)) == 42
    assert not psutil.pid_exists(helper) or psutil.Process(helper).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("content", ["{alive}\n/somewhere\n", "1\n", "", "not a number\n"])
def test_a_stale_pid_file_is_no_server(data_dir, content):
    socket = ensure_running(data_dir)
    write_row(socket)
    kill(status(data_dir).pid)
    (place_of(data_dir).data / "postmaster.pid").write_text(content.format(alive=os.getpid()))
    assert status(data_dir).pid is None
    assert read_row(ensure_running(data_dir)) == 42


def test_a_start_killed_half_way_is_begun_again(empty_dir):
    place = place_of(empty_dir)
    unfinished = place.folder / "data.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text(f"{programs.MAJOR}\n")
    ensure_running(empty_dir)
    assert not unfinished.exists()


def test_processes_that_start_it_at_once_share_one(empty_dir):
    code = (
        "import sys, pathlib; from webapp.embedded import postgres; folder = pathlib.Path(sys.argv[1]);"
        "postgres.ensure_running(folder); print(postgres.status(folder).pid)"
    )
    starting = [
        subprocess.Popen([sys.executable, "-c", code, empty_dir], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    answers = {process.communicate(timeout=60)[0] for process in starting}
    assert [process.returncode for process in starting] == [0, 0, 0]
    assert answers == {f"{status(empty_dir).pid}\n"}


def test_a_path_too_long_for_a_socket(empty_dir):
    deep = empty_dir / ("d" * 100)
    try:
        socket = ensure_running(deep)
        assert socket.parent == Path("/tmp")
        assert any("too long" in reason for reason in place_of(deep).reasons)
        write_row(socket)
        assert read_row(socket) == 42
    finally:
        stop(deep, timeout=5)
    assert not socket.exists()


def test_a_path_with_blanks_quotes_and_commas(empty_dir):
    odd = empty_dir / 'it\'s, a "folder"'
    try:
        write_row(ensure_running(odd))
    finally:
        stop(odd, timeout=5)


def test_a_folder_closed_to_the_servers_user(empty_dir):
    closed = empty_dir / "closed"
    closed.mkdir(mode=0o700)
    place = place_of(closed / "var")
    as_root = os.geteuid() == 0
    assert place.folder.is_relative_to("/var/lib/provenance" if as_root else closed)
    assert any("closed to other users" in reason for reason in place.reasons) is as_root
    try:
        write_row(ensure_running(closed / "var"))
        stop(closed / "var", timeout=5)
        # Opening the folder later must not make the data disappear.
        closed.chmod(0o755)
        assert read_row(ensure_running(closed / "var")) == 42
        assert stat_mode(closed) == 0o755
    finally:
        stop(closed / "var", timeout=5)
        subprocess.run(["rm", "-rf", place.folder], check=True)


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_nobody_else_can_enter_the_socket_or_the_data(data_dir):
    socket = ensure_running(data_dir)
    assert stat_mode(socket) == 0o700
    assert stat_mode(place_of(data_dir).data) == 0o700
    owner = pwd.getpwuid(socket.stat().st_uid)
    assert owner.pw_name == ("pgserver" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name)


def test_a_socket_folder_open_to_others_is_refused(data_dir):
    place_of(data_dir).socket.chmod(0o755)
    with pytest.raises(PostgresError, match="mode 0700"):
        ensure_running(data_dir)


def test_data_of_another_user_are_refused(data_dir, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(PostgresError, match="only that user or root"):
        ensure_running(data_dir)


def test_data_of_another_release_are_refused(data_dir):
    (place_of(data_dir).data / "PG_VERSION").write_text("16\n")
    with pytest.raises(PostgresError, match="made by PostgreSQL 16"):
        ensure_running(data_dir)


def test_programs_out_of_reach_are_copied(data_dir, monkeypatch):
    runs = programs._runs

    def only_below_the_data_folder(installation, owner, folder):
        return installation.is_relative_to(data_dir) and runs(installation, owner, folder)

    monkeypatch.setattr(programs, "_runs", only_below_the_data_folder)
    write_row(ensure_running(data_dir))
    assert psutil.Process(status(data_dir).pid).exe().startswith(str(place_of(data_dir).folder))


def test_a_server_that_cannot_start_shows_its_log(data_dir):
    (place_of(data_dir).data / "postgresql.auto.conf").write_text("shared_buffers = 'plenty'\n")
    with pytest.raises(PostgresError, match="shared_buffers"):
        ensure_running(data_dir)


def test_durability_is_off_only_where_asked(data_dir):
    with connect(ensure_running(data_dir, durable=False)) as connection:
        assert connection.execute("SHOW fsync").fetchone()[0] == "off"
    stop(data_dir)
    with connect(ensure_running(data_dir)) as connection:
        assert connection.execute("SHOW fsync").fetchone()[0] == "on"

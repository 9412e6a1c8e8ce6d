"""Fetching over HTTP: whole, in pieces, from bad servers, onto a full disk, by several at once."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provenance.models import download, store
from tests.provenance.models.conftest import CONTENT, Shelf
from tests.provenance.models.file_server import serve

SIZE = len(CONTENT)


def left(shelf: Shelf) -> set[str]:
    """Return the visible files in the local folder."""
    return {file.name for file in shelf.folder.iterdir() if not file.name.startswith(".")}


def test_it_works(shelf: Shelf) -> None:
    seen: list[tuple[int, int | None]] = []
    assert store.pull("pinned", lambda done, total: seen.append((done, total))) == shelf.file
    assert shelf.file.read_bytes() == CONTENT
    assert seen[0] == (0, SIZE)
    assert seen[-1] == (SIZE, SIZE)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert left(shelf) == {"net.bin"}
    assert store.pull("pinned") == shelf.file
    assert len(shelf.server.requests) == 1


def test_an_unpinned_file_is_pinned_by_its_first_pull(shelf: Shelf) -> None:
    store.pull("unpinned")
    assert left(shelf) == {"net.bin", "net.bin.sha256"}
    digest = store.known_sha256("unpinned")
    shelf.file.unlink()
    shelf.server.content = CONTENT[::-1]
    with pytest.raises(store.ModelCorrupt, match=f"{digest} is right"):
        store.pull("unpinned")
    assert left(shelf) == {"net.bin.sha256"}


def test_a_redirect_is_followed(shelf: Shelf) -> None:
    shelf.change("pinned", urls=(shelf.server.url.replace("/file", "/moved"),))
    assert store.pull("pinned").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["pinned", "unpinned"])
def test_a_cut_connection_is_taken_up_where_it_broke(shelf: Shelf, name: str) -> None:
    shelf.server.cuts = [1_000_000, 700_001]
    assert store.pull(name).read_bytes() == CONTENT
    assert shelf.server.requests == [None, "bytes=1000000-", "bytes=1700001-"]


def test_a_later_pull_goes_on_where_an_earlier_one_gave_up(shelf: Shelf) -> None:
    shelf.server.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(store.DownloadFailed, match="does not answer as it should"):
        store.pull("unpinned")
    assert shelf.part.stat().st_size == 1_000_000
    shelf.server.requests.clear()
    assert store.pull("unpinned").read_bytes() == CONTENT
    assert shelf.server.requests == ["bytes=1000000-"]
    assert left(shelf) == {"net.bin", "net.bin.sha256"}


def test_a_killed_process_leaves_what_the_next_goes_on_with(shelf: Shelf) -> None:
    code = f"""
import os, sys
from dataclasses import replace
from provenance.models import catalogue, store
model = catalogue.MODELS["clip-vit-b-32"]
catalogue.MODELS["pinned"] = replace(model, name="pinned", file="net.bin", size={SIZE}, urls=({shelf.server.url!r},))
store.pull("pinned", lambda done, total: os._exit(9) if done >= 1 << 20 else None)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    kept = shelf.part.stat().st_size
    assert 0 < kept < SIZE
    assert store.pull("pinned").read_bytes() == CONTENT
    assert shelf.server.requests[1:] == [f"bytes={kept}-"]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(shelf: Shelf) -> None:
    shelf.server.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(store.DownloadFailed):
        store.pull("unpinned")
    shelf.server.content, shelf.server.tag = CONTENT[::-1], '"two"'
    assert store.pull("unpinned").read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("missing", ["ranges", "tag"])
def test_without_means_to_resume_it_starts_again(shelf: Shelf, missing: str) -> None:
    setattr(shelf.server, missing, None)
    shelf.server.cuts = [1_000_000]
    assert store.pull("unpinned").read_bytes() == CONTENT
    assert len(shelf.server.requests) == 2


def test_a_wrong_partial_file_is_fetched_anew(shelf: Shelf) -> None:
    shelf.server.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(store.DownloadFailed):
        store.pull("pinned")
    shelf.part.write_bytes(b"\0" * 1_000_000)
    assert store.pull("pinned").read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [0, 5], ids=["complete", "too long"])
def test_a_partial_file_with_nothing_to_come(shelf: Shelf, extra: int) -> None:
    shelf.server.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(store.DownloadFailed):
        store.pull("pinned")
    shelf.part.write_bytes(CONTENT + b"\0" * extra)
    assert store.pull("pinned").read_bytes() == CONTENT


def test_a_wrong_digest_leaves_nothing(shelf: Shelf) -> None:
    shelf.server.content = CONTENT[:-1] + b"!"
    with pytest.raises(store.ModelCorrupt, match="its SHA-256 is"):
        store.pull("pinned")
    assert left(shelf) == set()


def test_a_damaged_file_is_replaced(shelf: Shelf) -> None:
    store.pull("unpinned")
    shelf.file.write_bytes(b"damaged")
    assert store.pull("unpinned").read_bytes() == CONTENT


def test_a_file_of_quite_another_size_is_not_pinned(shelf: Shelf) -> None:
    shelf.server.content = b"Sorry, gone."
    with pytest.raises(store.ModelCorrupt, match=f"12 bytes came, and about {SIZE:,} were to come"):
        store.pull("unpinned")
    assert left(shelf) == set()


def test_a_page_is_no_weight_file(shelf: Shelf) -> None:
    shelf.server.media_type = "text/html; charset=utf-8"
    with pytest.raises(store.DownloadFailed, match="sent a page instead of a file"):
        store.pull("unpinned")
    assert left(shelf) == set()


def test_a_refusal_is_final_and_a_busy_server_is_not(shelf: Shelf) -> None:
    shelf.server.statuses = [404]
    with pytest.raises(store.DownloadFailed, match="answered 404 Not Found"):
        store.pull("pinned")
    shelf.server.statuses = [503, 429, 500]
    assert store.pull("pinned").read_bytes() == CONTENT
    shelf.file.unlink()
    shelf.server.requests.clear()
    shelf.server.statuses = [503] * 99
    with pytest.raises(store.DownloadFailed, match="status 503"):
        store.pull("pinned")
    assert len(shelf.server.requests) == download.TRIES


def test_nobody_answers(shelf: Shelf) -> None:
    with serve(b"") as gone:
        url = gone.url
    shelf.change("pinned", urls=(url,))
    with pytest.raises(store.DownloadFailed, match="does not answer as it should"):
        store.pull("pinned")


def test_the_next_source_is_asked_when_one_fails(shelf: Shelf) -> None:
    with serve(CONTENT) as second:
        shelf.change("pinned", urls=(shelf.server.url, second.url))
        shelf.server.statuses = [404]
        assert store.pull("pinned").read_bytes() == CONTENT
        shelf.file.unlink()
        shelf.server.content = b"wrong"
        assert store.pull("pinned").read_bytes() == CONTENT
        shelf.file.unlink()
        second.statuses = [404]
        with pytest.raises(store.ModelCorrupt) as caught:
            store.pull("pinned")
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert [type(problem) for problem in caught.value.__cause__.exceptions] == [
            store.ModelCorrupt,
            store.DownloadFailed,
        ]


def test_another_sources_partial_file_is_not_mixed_in(shelf: Shelf) -> None:
    with serve(CONTENT[::-1]) as second:
        shelf.change("unpinned", urls=(second.url, shelf.server.url))
        second.cuts = [1_000_000, 0, 0, 0, 0]
        assert store.pull("unpinned").read_bytes() == CONTENT


def test_a_source_without_tls_is_refused(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_HERE", ())
    with pytest.raises(store.DownloadFailed, match="is not asked over https"):
        store.pull("unpinned")


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_offline_forbids_to_fetch_but_not_to_use(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PROVENANCE_OFFLINE", value)
    with pytest.raises(store.Offline, match=f"Put net.bin into {shelf.folder}"):
        store.pull("pinned")
    assert shelf.server.requests == []
    shelf.folder.mkdir()
    shelf.file.write_bytes(CONTENT)
    assert store.pull("pinned") == shelf.file
    shelf.file.write_bytes(b"damaged")
    with pytest.raises(store.Offline):
        store.pull("pinned")


def test_offline_must_be_said_clearly(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVENANCE_OFFLINE", "maybe")
    with pytest.raises(store.ModelError, match="PROVENANCE_OFFLINE must be true or false"):
        store.pull("pinned")
    assert shelf.server.requests == []


def test_offline_off_is_off(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVENANCE_OFFLINE", "0")
    assert store.pull("pinned") == shelf.file


def test_no_room_is_known_before_anything_is_written(shelf: Shelf) -> None:
    shelf.server.declared = 10**18
    with pytest.raises(store.DownloadFailed, match=r"1000000000\.0 GB are to come.*PROVENANCE_MODELS"):
        store.pull("unpinned")
    assert left(shelf) == set()


@contextmanager
def largest_file(limit: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_is_told_and_gone_on_with(shelf: Shelf) -> None:
    with largest_file(1_500_000), pytest.raises(store.DownloadFailed, match="cannot be written: File too large"):
        store.pull("pinned")
    assert 0 < shelf.part.stat().st_size <= 1_500_000
    assert store.pull("pinned").read_bytes() == CONTENT
    assert shelf.server.requests[1].startswith("bytes=")


def test_a_folder_that_cannot_be_made_is_told(shelf: Shelf) -> None:
    shelf.folder.write_text("a file is in the way")
    with pytest.raises(store.DownloadFailed, match="cannot be written: File exists"):
        store.pull("pinned")


def test_several_at_once_fetch_once(shelf: Shelf) -> None:
    shelf.server.pause = 0.6
    results: list[Path | BaseException] = []
    seen: list[tuple[int, int | None]] = []

    def pull() -> None:
        try:
            results.append(store.pull("unpinned", lambda done, total: seen.append((done, total))))
        except store.ModelError as problem:
            results.append(problem)

    threads = [threading.Thread(target=pull) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [shelf.file] * 4
    assert shelf.file.read_bytes() == CONTENT
    assert len(shelf.server.requests) == 1
    assert left(shelf) == {"net.bin", "net.bin.sha256"}
    assert (SIZE, SIZE) in seen

"""Where the site listens: the wanted port or the next free one, and sentences for what cannot be."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from webapp.embedded.addresses import AddressError, answers_well, free_port, url_of


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_free_port_is_taken_as_wanted():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    assert free_port("127.0.0.1", port) == port


def test_the_next_port_where_the_wanted_is_taken(taken):
    assert free_port("127.0.0.1", taken) > taken


def test_an_address_of_another_machine():
    with pytest.raises(AddressError, match="no address of this machine"):
        free_port("192.0.2.1", 8000)


def test_a_host_that_is_none():
    with pytest.raises(AddressError, match="not known"):
        free_port("not a host", 8000)


def test_no_port_left():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 65535))
        listener.listen()
        with pytest.raises(AddressError, match="SITE_PORT"):
            free_port("127.0.0.1", 65535)


def test_urls():
    assert url_of("127.0.0.1", 8000) == "http://127.0.0.1:8000"
    assert url_of("::1", 8000) == "http://[::1]:8000"


class _OnlyForPictures(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers["Host"] == "pictures.example" and self.path == "/readyz"
        self.send_response(200 if known else 400)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep the test's output clean."""


def test_asking_with_a_name_that_the_site_knows():
    with HTTPServer(("127.0.0.1", 0), _OnlyForPictures) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port
        assert answers_well("0.0.0.0", port, "/readyz", [".pictures.example"])
        assert not answers_well("0.0.0.0", port, "/healthz", [".pictures.example"])
        assert not answers_well("127.0.0.1", port, "/readyz", ["127.0.0.1"])
        server.shutdown()
    assert not answers_well("127.0.0.1", port, "/readyz", ["*"])

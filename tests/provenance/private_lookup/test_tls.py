"""Connections: to nobody but the one who is meant, from nobody but those who are known, and nothing else is let in."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from provenance.private_lookup.errors import BadInput, KeyholderUnreachable
from provenance.private_lookup.identity import Identity
from provenance.private_lookup.tls import accept, connect, parse_address

ARCHIVE, MUSEUM, CLIENT, STRANGER = (Identity.new(name) for name in ("archive", "museum", "client", "archive"))


def talk(server: Identity, known: list[Identity], client: Identity, expected: Identity) -> tuple[str, bytes]:
    """Return who the server took the client for, and what the client read."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)

        def serve() -> str:
            plain, _address = listener.accept()
            plain.settimeout(10)
            wrapped, signing = accept(plain, server, [one.public for one in known])
            with wrapped:
                wrapped.sendall(b"hello")
            return signing

        served = pool.submit(serve)
        try:
            with connect(listener.getsockname()[:2], client, expected.public, 10) as connection:
                return served.result(), connection.recv(16)
        except KeyholderUnreachable:
            with suppress(OSError):
                served.result()
            raise


def test_both_ends_know_each_other() -> None:
    for client in (MUSEUM, CLIENT):
        assert talk(ARCHIVE, [MUSEUM, CLIENT, STRANGER], client, ARCHIVE) == (client.public.signing, b"hello")


def test_who_is_not_known_is_not_let_in() -> None:
    """Whatever its name; and neither is one who shows no certificate at all, or speaks no TLS."""
    with pytest.raises(KeyholderUnreachable, match=r"archive at 127.* does not let archive in"):
        talk(ARCHIVE, [MUSEUM, ARCHIVE], STRANGER, ARCHIVE)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:

        def refuse() -> None:
            plain, _address = listener.accept()
            plain.settimeout(10)
            with pytest.raises(OSError):
                accept(plain, ARCHIVE, [MUSEUM.public])
            assert plain.fileno() == -1

        for noise in (b"GET / HTTP/1.1\r\n\r\n", b""):
            refused = pool.submit(refuse)
            with socket.create_connection(listener.getsockname()) as plain:
                plain.sendall(noise)
            refused.result()
        refused = pool.submit(refuse)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(listener.getsockname()) as plain, pytest.raises(ssl.SSLError):
            context.wrap_socket(plain).recv(1)
        refused.result()


def test_who_is_not_meant_is_not_talked_to() -> None:
    with pytest.raises(KeyholderUnreachable, match=r"is not archive\."):
        talk(STRANGER, [CLIENT], CLIENT, ARCHIVE)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[:2]
    with pytest.raises(KeyholderUnreachable, match=r"archive at .* does not answer"):
        connect(nobody, CLIENT, ARCHIVE.public, 10)


@pytest.mark.parametrize("text", ["", "host", ":1", "host:", "host:0", "host:65536", "host:-1", "host:١"])
def test_addresses_are_hosts_with_ports(text: str) -> None:
    assert parse_address("museum.example:4433") == ("museum.example", 4433)
    assert parse_address("[::1]:4433") == ("::1", 4433)
    with pytest.raises(BadInput, match="host:port"):
        parse_address(text)

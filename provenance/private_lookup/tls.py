"""Connections between machines: TLS 1.3 with both sides proved, by the keys that an agreement names and nothing else.

There is no certificate authority. Each end makes a key every hour and certifies it with its identity's signing
key; the other knows that key from the agreement, or as a client that it admitted, and makes of it the only root that it
trusts. What was said cannot be read later by whoever steals an identity then (forward secrecy).
"""

from __future__ import annotations

import secrets
import socket
import ssl
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from provenance.private_lookup.errors import BadInput, KeyholderUnreachable
from provenance.private_lookup.identity import Identity, PublicIdentity

# With TLS 1.3 whoever is not let in learns it from the first thing that it reads; so there is one.
_WELCOME = b"\x01"
_PERIOD, _LIFE = timedelta(hours=1), timedelta(days=1)


def parse_address(text: str) -> tuple[str, int]:
    """Read ``host:port``; an IPv6 host stands in brackets.

    Raises:
        BadInput: it is none.
    """
    host, _colon, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 1 << 16:
        raise BadInput(f"{text} is no address. Write host:port.")
    return host.removeprefix("[").removesuffix("]"), int(port)


def connect(address: tuple[str, int], identity: Identity, peer: PublicIdentity, seconds: float) -> ssl.SSLSocket:
    """Return a connection to nobody but ``peer``, as ``identity``.

    Args:
        seconds: how long connecting, and later each wait, may take.

    Raises:
        KeyholderUnreachable: nobody answers there, somebody else does, or ``identity`` is not let in.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity, (peer,), _period())
    where = f"{peer.name} at {address[0]}:{address[1]}"
    try:
        plain = socket.create_connection(address, seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            wrapped = context.wrap_socket(plain)
        except BaseException:
            plain.close()
            raise
    except ssl.SSLCertVerificationError as problem:
        raise KeyholderUnreachable(f"Who answers at {address[0]}:{address[1]} is not {peer.name}.") from problem
    except OSError as problem:
        raise KeyholderUnreachable(f"{where} does not answer: {problem}.") from problem
    try:
        welcome = wrapped.recv(len(_WELCOME))
    except ssl.SSLError as problem:
        wrapped.close()
        raise KeyholderUnreachable(
            f"{where} does not let {identity.name} in ({problem.reason}): have it admitted there, and compare clocks."
        ) from problem
    except OSError as problem:
        wrapped.close()
        raise KeyholderUnreachable(f"{where} does not answer: {problem}.") from problem
    if welcome != _WELCOME:
        wrapped.close()
        raise KeyholderUnreachable(f"{where} went away in the middle. Ask anew.")
    return wrapped


def accept(plain: socket.socket, identity: Identity, peers: Iterable[PublicIdentity]) -> tuple[ssl.SSLSocket, str]:
    """Return the other end of :func:`connect`, and the signing key of whoever of ``peers`` it is.

    Raises:
        OSError: it is nobody of them, or speaks no TLS; ``plain`` is closed then.
    """
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        context = _context(ssl.PROTOCOL_TLS_SERVER, identity, tuple(peers), _period())
        wrapped = context.wrap_socket(plain, server_side=True)
        wrapped.sendall(_WELCOME)
    except BaseException:
        plain.close()
        raise
    found: Any = wrapped.getpeercert()
    return wrapped, str(dict(part for parts in found["issuer"] for part in parts)["commonName"])


def _period() -> int:
    """Return the number of the present period, in each of which there are new keys."""
    return int(time.time() / _PERIOD.total_seconds())


# Making one takes longer than the rest of a connection.
@lru_cache(maxsize=32)
def _context(
    protocol: int, identity: Identity, peers: tuple[PublicIdentity, ...], _of: int
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=b"".join(_root(peer) for peer in peers))
    key, password = Ed25519PrivateKey.generate(), secrets.token_hex(32).encode()
    leaf = _certificate(identity.public.signing, "connection", key.public_key(), ca=False).sign(identity.signing, None)
    # The library takes keys from files only; this one's password is never written anywhere.
    with tempfile.NamedTemporaryFile() as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)))
        file.write(leaf.public_bytes(Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name, password=password)
    return context


def _root(peer: PublicIdentity) -> bytes:
    """Return a root certificate, DER, of a peer's key. Nobody looks at a root's own signature: anyone may make it."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(peer.signing))
    made = _certificate(peer.signing, peer.signing, key, ca=True).sign(Ed25519PrivateKey.generate(), None)
    return made.public_bytes(Encoding.DER)


def _certificate(issuer: str, subject: str, key: Ed25519PublicKey, *, ca: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
    )

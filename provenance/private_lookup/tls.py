"""Connections between machines: TLS 1.3 with both sides proved, by the keys that an agreement names and nothing else.

There is no certificate authority. Each end makes a key for the connection and certifies it with its identity's signing
key; the other knows that key from the agreement, or as a client that it admitted, and makes of it the only root that it
trusts. What was said cannot be read later by whoever steals an identity then (forward secrecy).
"""

from __future__ import annotations

import secrets
import socket
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import NameOID

from provenance.private_lookup.errors import BadInput, KeyholderUnreachable
from provenance.private_lookup.identity import Identity, PublicIdentity

_LIFE = timedelta(days=1)


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
        KeyholderUnreachable: nobody answers there, or somebody else does.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identity, [peer])
    context.check_hostname = False
    try:
        plain = socket.create_connection(address, seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return context.wrap_socket(plain)
        except BaseException:
            plain.close()
            raise
    except ssl.SSLCertVerificationError as problem:
        raise KeyholderUnreachable(f"Who answers at {address[0]}:{address[1]} is not {peer.name}.") from problem
    except OSError as problem:
        raise KeyholderUnreachable(f"{peer.name} does not answer at {address[0]}:{address[1]}: {problem}.") from problem


def accept(plain: socket.socket, identity: Identity, peers: Iterable[PublicIdentity]) -> tuple[ssl.SSLSocket, str]:
    """Return the other end of :func:`connect`, and the signing key of whoever of ``peers`` it is.

    Raises:
        OSError: it is nobody of them, or speaks no TLS; ``plain`` is closed then.
    """
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        wrapped = _context(ssl.PROTOCOL_TLS_SERVER, identity, peers).wrap_socket(plain, server_side=True)
    except BaseException:
        plain.close()
        raise
    found: Any = wrapped.getpeercert()
    return wrapped, str(dict(part for parts in found["issuer"] for part in parts)["commonName"])


def _context(protocol: int, identity: Identity, peers: Iterable[PublicIdentity]) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
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

"""Servers that answer with exactly the octets they are told, plain or over TLS, and the certificates for it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Answer = Callable[["RawServer", socket.socket, bytes], None]


def http(
    body: bytes | Mapping[str, Any] = b'{"keys":[]}', status: int = 200, length: int | None = None, **headers: str
) -> bytes:
    """A whole answer; underscores in names of ``headers`` stand for hyphens, "" leaves one out."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(octets) if length is None else length)}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode() + octets


def read_head(sock: socket.socket) -> bytes:
    """To the end of the header section, or whatever else comes first: a client that speaks TLS ends no line."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and not head.startswith(b"\x16") and (octets := sock.recv(4096)):
        head += octets
    return head


class RawServer:
    """A context manager. ``answer``: octets, or a function of server, socket and request head, called in a thread."""

    def __init__(self, answer: bytes | Answer, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.answer: Answer = answer if callable(answer) else lambda _server, sock, _head: sock.sendall(answer)
        self.heads: list[bytes] = []
        self.release = threading.Event()  # set when the test is over: for answers that hang
        self._tls, self._threads = tls, list[threading.Thread]()
        self._listener = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
        self.port: int = self._listener.getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{name}:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._thread.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                plain = sock if self._tls is None else self._tls.wrap_socket(sock, server_side=True)
                with plain:
                    head = read_head(plain)
                    self.heads.append(head)
                    self.answer(self, plain, head)
            except OSError:  # the client gave up, as it should
                return


def dripping(before: bytes, octet: bytes = b" ") -> Answer:
    """Answers ``before`` and then, for ever, an octet every now and then."""

    def answer(server: RawServer, sock: socket.socket, _: bytes) -> None:
        sock.sendall(before)
        while not server.release.wait(0.02):
            sock.sendall(octet)

    return answer


def pages(documents: Mapping[str, bytes | Mapping[str, Any]]) -> Answer:
    """Answers each path with its document (a mapping is sent as JSON, octets as they are), and others with 404."""

    def answer(_: RawServer, sock: socket.socket, head: bytes) -> None:
        document = documents.get(head.split(b" ")[1].decode(), http(status=404))
        sock.sendall(document if isinstance(document, bytes) else http(document))

    return answer


def requested(server: RawServer) -> list[str]:
    return [head.split(b" ")[1].decode() for head in server.heads]


class Authority:
    """A self-signed CA that makes server contexts; ``file`` is its certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self.file = folder / "ca.pem"
        self._certificate = self._sign("test CA", self._key, None)
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, names: list[str] | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([_name(one) for one in names]), critical=False)
        else:
            usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        return builder.sign(self._key, hashes.SHA256())

    def server(self, *names: str) -> ssl.SSLContext:
        """A server's context with a certificate for ``names`` (host names or IP addresses)."""
        key = ec.generate_private_key(ec.SECP256R1())
        path = self._folder / f"{abs(hash(names))}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + self._sign(names[0], key, list(names)).public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)

"""HTTP/1.1 as bytes: requests that no client library would send, and all answers on the connection."""

from __future__ import annotations

import io
import json
import socket
from dataclasses import dataclass
from email.message import Message
from http.client import parse_headers
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(target: str, *fields: str, method: str = "GET", body: str = "", close: bool = False) -> bytes:
    """One request. ``fields`` are whole lines."""
    lines = [f"{method} {target} HTTP/1.1", "Host: api.example", *fields, *(["Connection: close"] if close else [])]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def exchange(connection: socket.socket, *requests: bytes, methods: str = "") -> list[Answer]:
    """Send all at once, read until the server closes. ``methods``: of each request, where one of them is HEAD."""
    with connection:
        connection.sendall(b"".join(requests))
        return answers(connection, methods.split())


def answers(connection: socket.socket, methods: list[str]) -> list[Answer]:
    received = bytearray()
    try:
        while data := connection.recv(65536):
            received += data
    except ConnectionResetError:
        pass  # as servers do that close before they have read all of a request
    file, found = io.BytesIO(bytes(received)), []
    while line := file.readline():
        version, _, rest = line.partition(b" ")
        assert version.startswith(b"HTTP/1."), bytes(received)
        status, headers = int(rest[:3]), parse_headers(file)
        empty = len(found) < len(methods) and methods[len(found)] == "HEAD"
        if status != 100:
            found.append(Answer(status, headers, b"" if empty else _body(file, headers)))
    return found


def _body(file: io.BytesIO, headers: Message) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(file.readline().split(b";")[0], 16):
            body += file.read(size)
            file.readline()
        file.readline()
        return body
    length = headers.get("content-length")
    return file.read() if length is None else file.read(int(length))

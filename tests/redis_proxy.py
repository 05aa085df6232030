"""A TCP proxy before a server, over TLS if told, that can drop an answer on its way back."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress

from .remote import LIMIT


class Proxy:
    """A context manager. ``lose(n)``: the next n answers do not come through, and their connections are closed."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target, self._tls = port, tls
        self._losing = 0
        self._watched = b""
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(LIMIT)

    def lose(self, answers: int, to: bytes = b"") -> None:
        """Answers to requests in which ``to`` stands."""
        self._losing, self._watched = answers, to

    def _lost(self, request: bytes) -> bool:
        with self._lock:
            if not self._losing or self._watched not in request:
                return False
            self._losing -= 1
            return True

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self._target)) as server:
                lost = threading.Event()
                back = threading.Thread(target=self._answer, args=(server, client, lost), daemon=True)
                back.start()
                with suppress(OSError):
                    while request := client.recv(1 << 16):
                        if self._lost(request):
                            lost.set()
                        server.sendall(request)
                _end(server)
                back.join(LIMIT)

    @staticmethod
    def _answer(server: socket.socket, client: socket.socket, lost: threading.Event) -> None:
        with suppress(OSError):
            while (answer := server.recv(1 << 16)) and not lost.is_set():
                client.sendall(answer)
        _end(client)


def _end(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)

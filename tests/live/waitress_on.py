"""``python -m tests.live.waitress_on FD``: waitress on a socket that was handed over, which its command cannot take."""

from __future__ import annotations

import socket
import sys

import waitress

from .app import wsgi

waitress.serve(wsgi, sockets=[socket.socket(fileno=int(sys.argv[1]))])

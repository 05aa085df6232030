"""``python -m tests.live.waitress_on FD MODULE``: waitress on a socket, which its own command cannot take."""

from __future__ import annotations

import importlib
import socket
import sys

import waitress

waitress.serve(importlib.import_module(sys.argv[2]).wsgi, sockets=[socket.socket(fileno=int(sys.argv[1]))])

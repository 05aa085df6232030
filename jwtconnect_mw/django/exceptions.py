"""Exceptions under their older names."""

from __future__ import annotations


class InvalidJWT(Exception):
    """A token is not a good access token of this issuer. The text is constant."""

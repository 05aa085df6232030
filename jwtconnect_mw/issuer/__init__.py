"""A small issuer: its keys, its tokens, its endpoints."""

"""Which URLs keys may be fetched from."""

from __future__ import annotations

from pathlib import Path

import pytest

from jwtconnect_mw import ConfigurationError
from jwtconnect_mw.fetch import check_url

ACCEPTED = [
    "https://as.example", "https://as.example/jwks?a=b&c=%20", "https://as_1.example:8443/", "HTTPS://AS.example:/",
    "https://[2001:db8::1]:443/", "https://xn--bcher-kva.example/", "https://as.example/a@b/c:d",
    "http://127.0.0.1", "http://127.0.0.1:8080/x", "http://127.255.0.9/", "http://[::1]:80/", "http://localhost:8/",
    "http://LocalHost/", "http://[0:0:0:0:0:0:0:1]/",
]  # fmt: skip
OFF_LOOPBACK = [
    "http://as.example", "http://localhost.evil/", "http://127.0.0.1.evil/", "http://evil/127.0.0.1", "http://127.1/",
    "http://0x7f.0.0.1/", "http://2130706433/", "http://0177.0.0.1/", "http://0.0.0.0/", "http://128.0.0.1/", "http://[::]/",
    "http://[::ffff:127.0.0.1]/", "http://localhost./", "http://sub.localhost/", "http://10.0.0.1/", "http://[fe80::1]/",
]  # fmt: skip
NEVER = [
    "", "https://", "https:///x", "//as.example/", "as.example", "ftp://as.example/", "file:///etc/passwd",
    "https://user@as.example/", "https://user:pw@as.example/", "https://@as.example/", "http://localhost@evil/",
    "https://as.example/#x", "https://as.example#", "http://127.0.0.1#.evil/", "https://as.example:0/",
    "https://as.example:65536/", "https://as.example:-1/", "https://as.example:x/", "https://as.example:+80/",
    "http://[::1]evil/", "http://evil[::1]/", "http://[::1].evil/", "http://[::1%25lo]/", "http://[::1/", "http://::1/",
    "http://127.0.0.1\\@evil/", "http://127.0.0.1\\.evil/", "https://as.example/\tx", "https://as.example/\nx",
    "https://as.example/a b", " https://as.example", "https://as.example\x00", "https://as.example\x7f",
    "https://bücher.example/", "http://①27.0.0.1/", "http://127。0。0。1/", "http://localho\u017ft/", "https://a%2eb/",
    "https://a,b/", "https://as.example/\\x", "https://as.example/ü", "https://[v1.x]/",
]  # fmt: skip


@pytest.mark.parametrize("url", ACCEPTED)
def test_urls_accepted(url: str) -> None:
    assert check_url(url, "keys", trust_http=False).hostname


@pytest.mark.parametrize("url", OFF_LOOPBACK)
def test_urls_accepted_where_http_is_trusted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="keys: http is accepted for loopback only"):
        check_url(url, "keys", trust_http=False)
    assert check_url(url, "keys", trust_http=True).hostname


@pytest.mark.parametrize("url", [*NEVER, None, 5, b"https://as.example", Path("x")])
def test_urls_refused(url: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^jwks_uri: "):
        check_url(url, "jwks_uri", trust_http=True)


def test_user_information_is_named_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match=r"^keys: a URL with user information is not accepted$"):
        check_url("https://user:secret@as.example/", "keys", trust_http=False)

"""Token text to AccessToken: header, key, signature, then the payload (RFC 7515 section 5.2, RFC 8725 section 3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ._http import MAX_TOKEN
from ._jose import VerificationKey
from ._strict import JsonReader, TooDear, b64url_decode, is_b64url, json_object
from .cache import BoundedCache
from .claims import check_claims, scopes_of
from .errors import (
    AlgorithmNotAllowed,
    AuthError,
    BadSignature,
    InvalidToken,
    MalformedToken,
    TokenTooLarge,
    UnknownKey,
    UntrustedIssuer,
    UnusableKey,
    WrongTokenType,
)
from .header import Header, parse_header
from .keys.state import Flight, IssuerKeys
from .keys.store import KeyStore
from .policy import TrustedIssuer
from .token import AccessToken, Claims, freeze_lists

_MOST_TRIED = 3
_MOST_UNVERIFIED_PAYLOAD = 4096 * 4 // 3 + 1
_PAYLOAD_MARKS, _PAYLOAD_BRACKETS = 192, 96
_MOST_SIGNATURE = 16_384 // 8 * 4 // 3 + 1  # of the largest RSA key that is loaded
_MOST_CACHED_VALUE = 4096 + len("Bearer ")
_HEADERS = 1024
_REMEMBERED_HEADER = 512
# What an entry takes beside its text and payload, as measured: fixed, for each member (each but one has a comma), for
# each object or list beyond the claims themselves, and for each scope beyond a few.
_ENTRY_BYTES, _MEMBER_BYTES, _CONTAINER_BYTES, _SCOPE_BYTES, _FEW_SCOPES = 832, 128, 232, 128, 3
_LEAST_CACHE_BYTES, _PLACE_BYTES = 16_000_000, 3_900  # in all; for each place of a larger cache

_claims = JsonReader(Claims)


class KeysWanted(Exception):  # a turn of the flow, not an error
    """The verdict hangs on a fetch: wait for ``flight``, call ``keys.leave()``, verify once more with ``waited``."""

    def __init__(self, keys: IssuerKeys, flight: Flight) -> None:
        super().__init__()
        self.keys = keys
        self.flight = flight


class Verified:
    """A token that is good but for revocation and scopes, and what makes it so: its key and its span of time."""

    __slots__ = ("key", "keys", "kid", "mark", "not_after", "not_before", "payload", "token")

    def __init__(
        self,
        token: AccessToken,
        key: VerificationKey,
        kid: str | None,
        keys: IssuerKeys,
        mark: object,
        span: tuple[float, float],
        payload: bytes,
    ) -> None:
        self.token, self.key, self.kid, self.keys = token, key, kid, keys
        self.mark = mark  # of the snapshot in which the key was found last: the snapshot itself is not kept alive
        self.not_before, self.not_after = span
        self.payload = payload  # until it was weighed


class TokenVerifier:
    """Verifies tokens of the trusted issuers. Never blocks and does no I/O: where a fetch is needed it says so."""

    def __init__(
        self,
        policies: Iterable[TrustedIssuer],
        store: KeyStore,
        cache_size: int,
    ) -> None:
        self._policies: Mapping[str, TrustedIssuer] = {policy.issuer: policy for policy in policies}
        self._algorithms = frozenset().union(*(policy.accepted_algorithms for policy in self._policies.values()))
        self._forms = {issuer: _forms_of(issuer) for issuer in self._policies}
        self._store = store
        self._tokens: BoundedCache[str, Verified] = BoundedCache(
            cache_size, max(_LEAST_CACHE_BYTES, cache_size * _PLACE_BYTES)
        )
        self._headers: BoundedCache[bytes, Header] = BoundedCache(_HEADERS, _HEADERS * _REMEMBERED_HEADER)

    def cached(self, value: str, now: float) -> Verified | None:
        """What an Authorization value was found to hold before, if that is still so: its key is current, the time is
        right.
        """
        entry = self._tokens.get(value)
        if entry is None:
            return None
        keys = entry.keys
        if not keys.good_from <= now < keys.refresh_at and not keys.tend(now):
            return None
        snapshot = self._store.snapshot  # after that look, which may have brought a newer one
        if entry.mark is not snapshot.mark:
            current = next((key for key in snapshot.find(entry.kid, entry.key.alg) if key == entry.key), None)
            if current is None:
                self._tokens.drop(value)
                return None
            entry.key, entry.mark = current, snapshot.mark
        if not entry.not_before <= now < entry.not_after:
            self._tokens.drop(value)
            return None  # the rules themselves say why
        return entry

    def remember(self, value: str, entry: Verified) -> None:
        """Keep what ``verify`` found in an Authorization value, once nothing else speaks against it."""
        if len(value) <= _MOST_CACHED_VALUE and self._tokens.wants(value):
            weight = len(value) + _weight(entry)
            entry.payload = b""
            self._tokens.put(value, entry, weight)

    def verify(self, text: str, now: float, *, waited: bool = False) -> Verified:
        """Verify the text of a token (ASCII) at ``now``, in seconds since the epoch.

        Raises AuthError, or KeysWanted (not if ``waited``).
        """
        octets = text.encode("ascii")
        if len(octets) > MAX_TOKEN:
            raise TokenTooLarge
        segments = octets.split(b".", 3)
        if len(segments) != 3 or not segments[0] or not segments[1]:
            raise MalformedToken
        header_segment = segments[0]
        header = self._headers.get(header_segment)
        known = header is not None
        if header is None:
            header = parse_header(header_segment)
        snapshot = self._store.snapshot  # before the key is found: at a hit, an older one only means another look
        try:
            key = self._verified_by(header, octets, segments, now, waited)
        except InvalidToken as error:
            if self._store.snapshot is snapshot and not self._has_come_back(error, header, now):
                raise
            key = self._verified_by(header, octets, segments, now, waited)  # the keys changed while one was looked for
        if not known and len(header_segment) <= _REMEMBERED_HEADER:  # only now that a signature covers it
            self._headers.put(header_segment, header, len(header_segment))
        try:
            payload = b64url_decode(segments[1])
            claims = _claims.read(payload)
        except ValueError:
            raise MalformedToken from None
        policy = self._policies[key.issuer]
        if claims.get("iss") != key.issuer:
            key = self._twin(key, header, claims, now)
            policy = self._policies[key.issuer]
        if policy.profile == "rfc9068" and not header.is_access_token:
            raise WrongTokenType
        span = check_claims(claims, policy, now)
        if b"[" in payload:
            freeze_lists(claims)
        token = AccessToken(claims, policy.issuer, scopes_of(claims, policy))
        return Verified(token, key, header.kid, self._store.issuers[key.issuer], snapshot.mark, span, payload)

    def _twin(self, key: VerificationKey, header: Header, claims: Claims, now: float) -> VerificationKey:
        """The same key as ``key``, of the issuer that the verified claims name: issuers may share key material.

        Raises KeysUnavailable where that issuer's keys are too old.
        """
        for other in self._store.snapshot.find(header.kid, header.alg):
            if other.issuer == claims.get("iss") and other.is_twin_of(key):
                keys = self._store.issuers[other.issuer]
                if not keys.tend(now):
                    raise keys.verdict(now)
                if other in self._store.snapshot.find(header.kid, header.alg):  # it may have gone by that look
                    return other
        return key  # whose policy refuses the claims

    def _verified_by(
        self, header: Header, octets: bytes, segments: list[bytes], now: float, waited: bool
    ) -> VerificationKey:
        """The key whose signature this is."""
        _, payload_segment, signature_segment = segments
        keys = self._store.snapshot.find(header.kid, header.alg)
        if len(keys) > _MOST_TRIED:
            keys = self._narrowed(keys, payload_segment, named=header.kid is not None)
        if not keys:
            if not is_b64url(signature_segment):
                raise MalformedToken
            raise self._refusal_without_key(header, payload_segment, now, waited, tried=False)
        if len(signature_segment) > _MOST_SIGNATURE:
            raise BadSignature
        try:
            signature = b64url_decode(signature_segment)
        except ValueError:
            raise MalformedToken from None
        signing_input = octets[: -len(signature_segment) - 1]
        tried: list[VerificationKey] = []
        for key in keys:
            state = self._store.issuers[key.issuer]
            if not state.good_from <= now < state.refresh_at and (
                not state.tend(now) or key not in self._store.snapshot.find(header.kid, header.alg)
            ):
                continue  # too old, or gone when it was looked at again
            if tried and (len(tried) == _MOST_TRIED or any(key.is_twin_of(other) for other in tried)):
                continue
            if key.verifies(signing_input, signature):
                return key
            tried.append(key)
        if tried and header.kid is not None and (len(self._policies) == 1 or not self._store.may_seek(now)):
            raise BadSignature  # else the key may be one of another issuer, which is yet to be fetched
        raise self._refusal_without_key(header, payload_segment, now, waited, tried=bool(tried))

    def _has_come_back(self, error: InvalidToken, header: Header, now: float) -> bool:
        """Whether a key that was too old when it was looked for was found to be current before it was refused."""
        if not isinstance(error, (UnknownKey, UnusableKey)):
            return False
        keys = self._store.snapshot.find(header.kid, header.alg)
        return any(self._store.issuers[key.issuer].tend(now) for key in keys)

    def _narrowed(
        self, keys: tuple[VerificationKey, ...], payload_segment: bytes, *, named: bool
    ) -> tuple[VerificationKey, ...]:
        """Many keys fit. If more than may be tried differ, the unverified issuer picks whose are tried. It proves
        nothing by that. Where it would be dear to read, some of the keys are tried: where all of them are ``named``, so
        that the token of any issuer may be good, of those issuers whose names stand somewhere in it.
        """
        distinct: list[VerificationKey] = []
        for key in keys:
            if not any(key.is_twin_of(other) for other in distinct):
                distinct.append(key)
                if len(distinct) > _MOST_TRIED:
                    break
        else:
            return keys
        claims = self._unverified(payload_segment)
        if claims is None:
            return self._mentioned(keys, payload_segment) if named else keys
        issuer = claims.get("iss")
        if type(issuer) is not str or issuer not in self._policies:
            raise UntrustedIssuer
        return tuple(key for key in keys if key.issuer == issuer)

    def _unverified(self, payload_segment: bytes) -> dict[str, Any] | None:
        """The claims of an unverified payload, None where it is too long or too dear to read. Raises MalformedToken."""
        if len(payload_segment) > _MOST_UNVERIFIED_PAYLOAD:
            return None
        try:
            payload = b64url_decode(payload_segment)
            return json_object.read_unverified(payload, _PAYLOAD_MARKS, _PAYLOAD_BRACKETS)
        except TooDear:
            return None
        except ValueError:
            raise MalformedToken from None

    def _mentioned(self, keys: tuple[VerificationKey, ...], payload_segment: bytes) -> tuple[VerificationKey, ...]:
        """Those of issuers whose names an unverified payload holds."""
        try:
            payload = b64url_decode(payload_segment)
        except ValueError:
            raise MalformedToken from None
        found = tuple(key for key in keys if any(form in payload for form in self._forms[key.issuer]))
        if not found:
            raise UntrustedIssuer
        return found

    def _refusal_without_key(
        self, header: Header, payload_segment: bytes, now: float, waited: bool, tried: bool
    ) -> AuthError:
        """Why a token is refused for which no key is at hand; ``tried``: keys fitted, but none had made the signature.

        Where no fetch can be due, the key is known to be unknown, and that is why. Else the key may yet be found: the
        payload is read, only in order to refuse what is refused with any key. Raises that, or KeysWanted.
        """
        if header.alg not in self._algorithms:
            return AlgorithmNotAllowed()
        unknown: type[InvalidToken] = BadSignature if tried else UnknownKey
        if not self._store.may_seek(now):
            spoken_for = header.kid is not None and header.kid in self._store.snapshot.kids
            return UnusableKey() if spoken_for and not tried else unknown()
        keys = self._issuer_to_ask(header, payload_segment, now, tried)
        if not waited:
            try:
                raise KeysWanted(keys, keys.seek(header.kid, now))
            except UnknownKey:
                return unknown()
        keys.remember_unknown(header.kid, now)
        verdict = keys.verdict(now)
        return unknown() if isinstance(verdict, UnknownKey) else verdict

    def _issuer_to_ask(self, header: Header, payload_segment: bytes, now: float, tried: bool) -> IssuerKeys:
        """The keys of the issuer that an unverified token names, if but for its key the token might be accepted."""
        claims = self._unverified(payload_segment)
        if claims is None:  # what it says stays unknown: fetch what is due at any issuer, for what the clock says
            raise self._store.tend(now)
        issuer = claims.get("iss")
        policy = self._policies.get(issuer) if type(issuer) is str else None
        if policy is None:
            raise UntrustedIssuer
        if header.alg not in policy.accepted_algorithms:
            raise AlgorithmNotAllowed
        if policy.profile == "rfc9068" and not header.is_access_token:
            raise WrongTokenType
        check_claims(claims, policy, now)
        keys = self._store.issuers[policy.issuer]
        spoken_for = keys.current is not None and header.kid is not None and header.kid in keys.current.kids
        if spoken_for and keys.tend(now):
            raise BadSignature if tried else UnusableKey
        return keys


def _forms_of(issuer: str) -> frozenset[bytes]:
    """How JSON writers write it."""
    ascii_only, plain = json.dumps(issuer), json.dumps(issuer, ensure_ascii=False)
    forms = (ascii_only, ascii_only.replace("/", "\\/"), plain, plain.replace("/", "\\/"))
    return frozenset(form.encode(errors="replace") for form in forms)


def _weight(entry: Verified) -> int:
    """What an entry takes beside its text."""
    payload, scopes = entry.payload, len(entry.token.scopes)
    length = len(payload) if payload.isascii() and b"\\" not in payload else 4 * len(payload)  # as Python keeps text
    containers = payload.count(b"{") + payload.count(b"[") - 1
    weight = _ENTRY_BYTES + length + _MEMBER_BYTES * payload.count(b",") + _CONTAINER_BYTES * containers
    return weight + _SCOPE_BYTES * scopes if scopes > _FEW_SCOPES else weight

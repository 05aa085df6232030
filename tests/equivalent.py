"""Mutants that no test can tell from the package, by module and name, each with the reason. See tests/mutation.py."""

from __future__ import annotations

# Where the reason is "speed", the other way comes to the same value.
EQUIVALENT: dict[str, dict[str, str]] = {
    "_http": {
        'bearer_token: condition never: value.startswith("Bearer ") and _is_b64token(token := value[7:])': (
            "speed: the way for all spellings gives the same token"
        ),
        "bearer_token: raise removed: raise MalformedCredentials": (
            "what follows raises it as well, for a value that starts with the word"
        ),
    },
    "_strict": {
        'JsonReader.read: condition always: octets.count(b"{") + octets.count(b"[") > MAX_DEPTH': (
            "speed: with so few brackets the exact count is within the limit"
        ),
        'JsonReader.read: boundary moved: octets.count(b"{") + octets.count(b"[") > MAX_DEPTH': (
            "speed: with so few brackets the exact count is within the limit"
        ),
        "JsonReader.read: condition always: len(text) > MAX_DIGITS": (
            "speed: the reader of long texts reads short ones to the same value"
        ),
        "JsonReader.read: boundary moved: len(text) > MAX_DIGITS": (
            "speed: an object of that length has no room for one digit too many"
        ),
        "JsonReader.read_unverified: condition always: brackets > MAX_DEPTH": (
            "speed: with so few brackets the exact count is within the limit"
        ),
        "JsonReader.read_unverified: boundary moved: brackets > MAX_DEPTH": (
            "speed: with so few brackets the exact count is within the limit"
        ),
        'JsonReader._parsed: condition always: "\\\\" in text and _SURROGATE.search(text)': (
            "speed: a value without surrogates can be encoded"
        ),
        'JsonReader._parsed: one condition of several removed: "\\\\" in text': (
            "speed: the expression finds nothing where there is no such escape"
        ),
        "JsonReader._parsed: one condition of several removed: _SURROGATE.search(text)": (
            "speed: a value without surrogates can be encoded"
        ),
    },
    "_jwk": {
        'token_algorithms: one condition of several removed: ""': "no curve has either name, None or False",
    },
    "_jose": {
        "_verifier: condition never: isinstance(signer, RSASigner)": "speed: the signer itself does the same for RSA",
        '_without_ambiguous: one condition of several removed: ""': "for the type checker: no kid there is None",
    },
    "claims": {
        'check_claims: condition always: "cnf" in claims or "typ" in claims or "ttype" in claims or '
        '"at_hash" in claims or "c_hash" in claims or "events" in claims': (
            "speed: what is called asks for each of them again"
        ),
        "_check_times: boundary moved: earliest > issued": "where both are the same time, it does not matter which",
        'scopes_of: condition never: where == "scope"': "speed: the claim of that name is read once more",
        "_scopes: condition never: len(value) <= _REMEMBERED_SCOPE": "speed: it only says what is remembered",
        "_scopes: condition always: len(value) <= _REMEMBERED_SCOPE": "memory: it only says what is remembered",
        "_scopes: boundary moved: len(value) <= _REMEMBERED_SCOPE": "memory: it only says what is remembered",
    },
    "verifier": {
        "KeysWanted.__init__: call removed: super().__init__()": "what it would show of itself holds no token",
        "TokenVerifier.cached: condition always: entry.mark is not snapshot.mark": (
            "speed: the key is looked up also where it cannot have changed"
        ),
        "TokenVerifier.cached: one condition of several removed: not keys.good_from <= now < keys.refresh_at": (
            "speed: tend() asks that itself"
        ),
        "TokenVerifier.cached: one condition of several removed: not keys.tend(now)": (
            "speed: the token is verified anew, and its keys are tended there"
        ),
        "TokenVerifier.cached: boundary 1 moved: keys.good_from <= now < keys.refresh_at": (
            "speed: tend() asks that itself"
        ),
        "TokenVerifier.remember: one condition of several removed: self._tokens.wants(value)": (
            "speed: what is not wanted is weighed, and not kept"
        ),
        "TokenVerifier.verify: one condition of several removed: not segments[0]": (
            "nothing is no JSON: refused as malformed when the header is read"
        ),
        "TokenVerifier.verify: condition always: header is None": "speed: a known header is read again, to the same",
        "TokenVerifier.verify: condition never: self._store.snapshot is snapshot and not "
        "self._has_come_back(error, header, now)": "speed: a second look at the same keys comes to the same verdict",
        "TokenVerifier.verify: raise removed: raise": "speed: a second look at the same keys comes to the same verdict",
        "TokenVerifier.verify: one condition of several removed: not known": "speed: what is there already stays",
        'TokenVerifier.verify: condition always: claims.get("iss") != key.issuer': (
            "speed: the twin of a key for its own issuer is that key"
        ),
        'TokenVerifier.verify: condition always: b"[" in payload': "speed: without a list nothing is changed",
        "TokenVerifier._verified_by: condition always: len(keys) > _MOST_TRIED": (
            "speed: of so few keys none is left out, which what is called finds as well"
        ),
        "TokenVerifier._verified_by: boundary moved: len(keys) > _MOST_TRIED": (
            "speed: of so few keys none is left out, which what is called finds as well"
        ),
        "TokenVerifier._verified_by: one condition of several removed: tried": "speed: of none tried none is a twin",
        "TokenVerifier._verified_by: one condition of several removed: not state.good_from <= now < state.refresh_at": (
            "speed: tend() asks that itself"
        ),
        "TokenVerifier._verified_by: boundary 1 moved: state.good_from <= now < state.refresh_at": (
            "speed: tend() asks that itself"
        ),
        "TokenVerifier._verified_by: one condition of several removed: not self._store.may_seek(now)": (
            "where nothing may be sought, what is called next gives the same reason"
        ),
        "TokenVerifier._has_come_back: condition never: not isinstance(error, (UnknownKey, UnusableKey))": (
            "speed: a second look at the same keys comes to the same verdict"
        ),
        "TokenVerifier._refusal_without_key: one condition of several removed: not tried": (
            "where a key was tried and nothing may be sought, the caller has refused already"
        ),
    },
    "auth": {
        "BearerAuth.__init__: condition never: revocations is None (2)": "for the type checker: None is no replica",
        "BearerAuth.prefetch: condition never: self._feed is not None": "speed: the list is read after the keys",
        "BearerAuth.prefetch: call removed: self._feed.health()": "speed: the list is read after the keys",
        "BearerAuth.refuse: condition always: response is None": "speed: the answer is made anew, to the same value",
        "BearerAuth.refuse: condition never: not isinstance(error, (Unavailable, InsufficientScope))": (
            "speed: the answer is prepared anew, to the same value"
        ),
        "BearerAuth._judged: one condition of several removed: self.has_public": (
            "speed: of no prefixes none makes a path public"
        ),
        "BearerAuth._judged: condition always: found is None": "speed: what the cache held is not looked for again",
        "BearerAuth._judged: condition always: len(authorization) != len(text) + 7 or not "
        'authorization.startswith("Bearer ")': (
            "speed: the spelling that is remembered is put together anew, and looked for again"
        ),
        "BearerAuth._judged: condition always: is_new or self._required": "speed: what is called asks both again",
        "BearerAuth._concluded: condition always: is_new": "speed: what the cache holds already stays",
        "BearerAuth._concluded: one condition of several removed: self._required": "speed: of none nothing is lacking",
    },
    "asgi": {
        "BearerMiddleware.__call__: one condition of several removed: auth.has_public": (
            "speed: without public paths the path is not looked at"
        ),
        "BearerMiddleware.__call__: condition always: not isinstance(headers, (list, tuple))": (
            "speed: a copy of a list says the same"
        ),
        "BearerMiddleware.__call__: one condition of several removed: path is None": (
            "speed: a path that is not known is not public"
        ),
        "BearerMiddleware.__call__: condition always: auth.audited": "speed: nobody is told the path",
        "mounted_path: one condition of several removed: root": "an empty root cuts nothing off",
        "is_plain: one condition of several removed: path != root": (
            "the mount point itself is the empty path, which is never public"
        ),
    },
    "rules": {
        "Rules.is_public: one condition of several removed: not self._prefixes": (
            "speed: nothing starts with one of no prefixes"
        ),
    },
    "_waiting": {
        "landed: call removed: view.cancel()": (
            "nobody looks at that future again; what is set in it later, or on a closed loop, is dropped"
        ),
    },
    "issuer/bodies": {
        "RefusedBody.__init__: call removed: super().__init__()": "it is shown nowhere",
        "read_wsgi: condition never: len(body) > MAX_BODY": "to read no octets ends it as well",
    },
    "issuer/inspection": {
        "OwnTokens._current: condition always: built.mark is not self._keys_mark": (
            "speed: the verifier is built anew, of the same keys"
        ),
    },
    "issuer/keystore": {
        "FileRingStore.look: condition never: 0 <= now - self._looked_at < LOOK_EVERY": "speed: one looks each time",
        "FileRingStore.look: boundary 1 moved: 0 <= now - self._looked_at < LOOK_EVERY": (
            "speed: it is looked at twice in one moment"
        ),
    },
    "issuer/keys": {
        "SigningKeys._current: condition never: view.since <= now < view.until": "speed: it is looked at again",
        "SigningKeys._current: boundary 1 moved: view.since <= now < view.until": (
            "speed: at that moment it is looked at again"
        ),
    },
    "issuer/service": {
        "Issuer.issue: condition always: self._sessions.alone": "speed: what would be too long is found out twice",
        "Issuer.revoke: condition always: token is not None": "what is no text is no token of ours",
    },
    "issuer/clients": {
        "Clients.public: one condition of several removed: not self._closed": (
            "where no clients are given, the default one is there and has no secret"
        ),
        "Clients.find: one condition of several removed: known is None": (
            "where no clients are given, the one that is known is the same value"
        ),
    },
    "issuer/refresh": {
        "RefreshTokens._header: condition always: header is None": "speed: the header is written anew, to the same",
    },
    "issuer/endpoints": {
        'Endpoints._introspect: condition always: found["active"]': "speed: the answer is written anew, to the same",
    },
    "issuer/keyring": {
        "Ring.span: condition always: event <= now": "speed: what is in view is looked at again",
        "Ring.span: condition always: event > now": "speed: what is in view is looked at again",
        "Ring.span: boundary moved: event > now": "speed: at that moment what is in view is looked at again",
        "Ring._describe: boundary moved: place < current": "the place itself was asked for before",
    },
    "gate": {
        "RevocationGate.__init__: condition always: self.blocking": "speed: where nobody asks, no thread is started",
    },
    "revocation/sqlite": {
        "SQLiteRevocationList.start_family: condition always: alone": "speed: who only reads need not wait for writers",
    },
    "revocation/rows": {
        "put: one condition of several removed: 0": "for the type checker: what was inserted has a serial",
        'restore: condition always: kind == "subject"': "what it finds counts for subjects only",
    },
    "revocation/untold": {
        "Untold.told: condition never: not self._waiting": "speed: nothing is found where nothing waits",
    },
    "revocation/replica": {
        "ReplicatedRevocationList.is_revoked: condition always: self._timer() >= self._reader.trusted_until": (
            "speed: what is trusted is found to be current"
        ),
        ': condition always: hasattr(time, "CLOCK_BOOTTIME")': "of the platform",
        ': condition never: hasattr(time, "CLOCK_BOOTTIME")': "of the platform",
    },
    "revocation/local": {
        '_put_end: boundary moved: ends > shards[number].get(name, float("-inf"))': "the same end is put anew",
        "LocalCopy._left: condition never: not any(end <= now for end in shard.values())": "speed: all are left",
        "LocalCopy.sweep: condition always: any(span[0] <= now for span in spans.values())": "speed: all are left",
        "LocalCopy.sweep: boundary moved: self._dropped > len(self) // 2": "speed: when a sieve is made anew",
        "LocalCopy.sweep: one condition of several removed: self._dropped > len(self) // 2": (
            "speed: when a sieve is made anew"
        ),
        "LocalCopy._expect: boundary moved: self._sieve.room <= 0": "speed: a sieve lets one name more through",
        **{
            "LocalCopy.is_revoked: condition always: bits[mark >> 8 & mask] >> (mark >> 5 & 7) & 1" + nth: (
                "speed: the dict tells"
            )
            for nth in ("", " (2)", " (3)")
        },
        **{
            f"LocalCopy.is_revoked: condition always: not {name}.isascii()": "speed: what is ASCII is Unicode"
            for name in ("token_id", "session", "subject")
        },
    },
    "revocation/memory": {
        "MemoryRevocationList.is_revoked: condition always: token_id is not None": "speed: nothing is kept under None",
        "MemoryRevocationList.is_revoked: condition always: session is not None": "speed: nothing is kept under None",
        "MemoryRevocationList.is_revoked: condition never: subject is None": "speed: nothing is kept under None",
    },
    "keys/store": {
        "Snapshot.find: condition never: not self._sole": "speed: nothing is found among no keys",
        "KeyStore.__init__: condition always: not issuer.is_static": "speed: a static issuer is always quiet",
        "KeyStore.may_seek: condition never: since <= now < until": "speed: each issuer is asked again",
        "KeyStore.may_seek: boundary 1 moved: since <= now < until": "speed: each issuer is asked again",
    },
    "keys/discovery": {
        "DiscoverySource.load: one condition of several removed: source is None": "without a source its time is over",
        "DiscoverySource._read: one condition of several removed: document is None": (
            "for the type checker: nobody answers 304 who was sent no validators"
        ),
        "_left: boundary moved: left <= 0": "no test can hold the instant at which the time is over",
    },
    "keys/sources": {
        "UrlSource.load: one condition of several removed: known is not None": (
            "for the type checker: where nothing is known no validators are sent, and no document is None"
        ),
    },
    "keys/state": {
        "IssuerKeys.tend: boundary moved: now < self.good_from": "at that moment nothing is due, and it is not asked",
        "IssuerKeys.tend: one condition of several removed: self.current is not None": (
            "for the reader: without keys usable_until is before all time"
        ),
        "IssuerKeys.seek: condition never: self.is_static": (
            "speed: no fetch begins for it, and beside keys that are always fresh the verdict is that one"
        ),
        "IssuerKeys.seek: one condition of several removed: self._may_begin(now)": "_begin() asks that itself",
        "IssuerKeys.seek: one condition of several removed: self.is_fresh(now)": (
            "what is remembered is forgotten after a cooldown, which is over before keys that came then are stale"
        ),
        "IssuerKeys.seek: raise removed: raise UnknownKey": (
            "speed: no fetch begins for it, and beside keys that are always fresh the verdict is that one"
        ),
        "IssuerKeys.remember_unknown: one condition of several removed: self.is_fresh(now)": (
            "what is remembered counts beside fresh keys only, and is cleared when such come"
        ),
        "IssuerKeys.quiet: one condition of several removed: self.current is None": (
            "without keys nothing is fresh, and the span is empty"
        ),
        "IssuerKeys.is_fresh: one condition of several removed: self.current is not None": (
            "for the reader: without keys fresh_until is before all time"
        ),
        "IssuerKeys.health: one condition of several removed: self.current is not None": (
            "for the reader: without keys usable_until is before all time"
        ),
        "IssuerKeys._is_known_unknown: boundary 1 moved: 0 <= now - since < self._cooldown": (
            "at the moment of its fetch the cooldown forbids another one anyway"
        ),
        "IssuerKeys._may_begin: one condition of several removed: self.is_static": (
            "the keys of a static issuer are never missing nor too old: nobody asks"
        ),
        "IssuerKeys._begin: call removed: flight.set_result(None)": "nobody has been given that flight",
        "IssuerKeys._accept: boundary moved: turn < self._accepted": "every turn is another number",
        "IssuerKeys._accept: condition always: changed": "memory: equal keys take the place of equal keys",
        "IssuerKeys._accept: call removed: self._unknown.clear()": (
            "memory: the cooldown of the fetch ends no sooner than what was remembered before it"
        ),
    },
    "fetch": {
        'check_url: one condition of several removed: ""': "for the type checker: an authority that matched has a host",
        "_is_loopback: one condition of several removed: address.version == 4": (
            "before Python 3.13 ::1 is the only IPv6 address that counts as loopback; from then on a test falls"
        ),
        "HttpFetch.__init__: condition always: ca_file is not None": "speed: the bundle of the system is read at once",
        "HttpFetch._tls: condition always: self._context is None": "speed: the bundle is read each time",
        "_left: boundary moved: left <= 0": "no test can hold the instant at which the time is over",
    },
}

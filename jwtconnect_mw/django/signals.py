"""What a project may want to happen to tokens when something happens to users. Each is off unless a setting says so.

Names in ``JWTCONNECT_MW``, each a bool:

``issue_on_login``           a user who logs in and has no session gets one; its Tokens are ``request.jwt_tokens``
``revoke_on_logout``         the session that the login made ends, no other; without ``issue_on_login`` no login makes
                           one, and all sessions of the user end
``revoke_on_password_change``  all sessions of the user end
``revoke_on_deactivation``   the same, when ``is_active`` becomes False, and when the user is deleted
``update_last_login``        when a session is refreshed; so does ``JWTAUTH_UPDATE_LAST_LOGIN``

What is revoked is revoked after the transaction was committed: who is still active after a rollback keeps the tokens.
Signals know nothing of ``QuerySet.update()`` and ``bulk_update()``.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import get_hasher, identify_hasher, is_password_usable
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.exceptions import FieldDoesNotExist
from django.db import Error as DatabaseFailure
from django.db import transaction
from django.db.models.signals import post_save, pre_delete, pre_save
from django.utils import timezone

from ..issuer import GrantError

SETTINGS = frozenset(
    (
        "issue_on_login",
        "revoke_on_logout",
        "revoke_on_password_change",
        "revoke_on_deactivation",
        "update_last_login",
    ),
)
"""The names that stand in ``JWTCONNECT_MW``."""
NEED_ISSUER = SETTINGS - {"update_last_login"}
SESSION_KEY = "jwtconnect_mw.sid"
"""Under which the ``sid`` of the token session stands in Django's session."""
_BEFORE = "_jwtconnect_mw_before"

_log = logging.getLogger("jwtconnect_mw.django")


def connect() -> None:
    """Once, when the applications are ready."""
    from .models import JWTConnectAuthToken
    from .records import tokens_refreshed

    tokens_refreshed.connect(_touch, sender=JWTConnectAuthToken, dispatch_uid="jwtconnect_mw.last_login")
    user_logged_in.connect(_issue, dispatch_uid="jwtconnect_mw.login")
    user_logged_out.connect(_log_out, dispatch_uid="jwtconnect_mw.logout")
    # Proxies and children of the user model send signals of their own. Not from all models: a model whose deletion is
    # listened to has its rows deleted one by one.
    for model in apps.get_models():
        if issubclass(model, get_user_model()):
            pre_save.connect(_remember, sender=model, dispatch_uid="jwtconnect_mw.before")
            post_save.connect(_compare, sender=model, dispatch_uid="jwtconnect_mw.after")
            pre_delete.connect(_deleted, sender=model, dispatch_uid="jwtconnect_mw.deleted")


def is_on(name: str) -> bool:
    """Whether the project wants it; the settings are looked at each time."""
    if name == "update_last_login" and getattr(settings, "JWTAUTH_UPDATE_LAST_LOGIN", False):
        return True
    return bool((getattr(settings, "JWTCONNECT_MW", None) or {}).get(name, False))


def _issue(request: Any, user: Any, **_: Any) -> None:
    from . import issuing, records

    if not is_on("issue_on_login"):
        return
    try:
        if records.has_session(user, issuing.issuer()):
            return  # of another device, whose it stays: nothing of this login ends it
        tokens = issuing.issue(user)[0]
    except (GrantError, DatabaseFailure) as error:
        # The login itself is good; who needs the tokens finds none.
        _log.error("no tokens at a login: %s", getattr(error, "reason", type(error).__name__))
        return
    if request is not None:
        request.jwt_tokens = tokens
    session = getattr(request, "session", None)
    if session is not None:
        session[SESSION_KEY] = tokens.session


def _log_out(request: Any, user: Any, **_: Any) -> None:
    from . import issuing

    if not is_on("revoke_on_logout") or not isinstance(user, get_user_model()):
        return
    sid = (getattr(request, "session", None) or {}).get(SESSION_KEY)
    if sid is None:
        if not is_on("issue_on_login"):
            _revoke_later(user)
    else:
        transaction.on_commit(partial(issuing.issuer().revoke, session=sid))


def _remember(instance: Any, raw: bool, using: str, update_fields: Any, **_: Any) -> None:
    """What is stored of a user that is about to be saved."""
    before = None
    names = _watched(instance, update_fields)
    if names and not raw and not instance._state.adding:
        rows = type(instance)._base_manager.using(using).filter(pk=instance.pk)
        before = rows.values(*names).first()
    setattr(instance, _BEFORE, before)


def _compare(instance: Any, using: str, update_fields: Any = None, **_: Any) -> None:
    before = getattr(instance, _BEFORE, None) or {}
    setattr(instance, _BEFORE, None)
    deactivated = before.get("is_active", False) and not instance.is_active
    if deactivated or ("password" in before and _is_changed(before["password"], instance, update_fields)):
        _revoke_later(instance, using)


def _watched(user: Any, update_fields: Any) -> list[str]:
    wanted = {"password": "revoke_on_password_change", "is_active": "revoke_on_deactivation"}
    return [
        name
        for name, setting in wanted.items()
        if is_on(setting) and _has(user, name) and (update_fields is None or name in update_fields)
    ]


def _has(user: Any, field: str) -> bool:
    try:
        user._meta.get_field(field)
    except FieldDoesNotExist:
        return False
    return True


def _is_changed(before: str, user: Any, update_fields: Any) -> bool:
    """Whether it is another password, not only the same one hashed as hashes are made today.

    Django upgrades a hash at a login where the old one is due, without the password at hand, and saves nothing else.
    Whatever differs from that is a change.
    """
    if before == user.password:
        return False
    is_alone = update_fields is not None and set(update_fields) == {"password"}
    has_none = getattr(user, "_password", None) is None
    return not (is_alone and has_none and is_password_usable(user.password) and _is_outdated(before))


def _is_outdated(encoded: str) -> bool:
    try:
        hasher, preferred = identify_hasher(encoded), get_hasher()
    except ValueError:  # no usable password, or of a hasher that is not configured any more
        return False
    return bool(hasher.algorithm != preferred.algorithm or preferred.must_update(encoded))


def _deleted(instance: Any, using: str, **_: Any) -> None:
    """Asked before, because the rows by which a renamed user's sessions are found go with the user."""
    if is_on("revoke_on_deactivation"):
        _revoke_later(instance, using)


def _revoke_later(user: Any, using: str | None = None) -> None:
    """All sessions of a user, who may be renamed or gone by then."""
    from . import issuing

    transaction.on_commit(issuing.revoking(user), using=using)


def _touch(row: Any, **_: Any) -> None:
    model = get_user_model()
    if row.user_id is not None and is_on("update_last_login") and _has(model, "last_login"):
        model._base_manager.filter(pk=row.user_id).update(last_login=timezone.now())

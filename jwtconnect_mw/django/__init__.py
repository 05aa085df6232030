"""The Django shim: settings, wiring and Django's own idioms over BearerAuth, Issuer and a revocation list.

``INSTALLED_APPS += ["jwtconnect_mw.django"]``, one line in ``MIDDLEWARE`` and one dict, ``JWTCONNECT_MW``; the older
``JWTAUTH_*`` settings work alone. Importing this package imports nothing of Django.
"""

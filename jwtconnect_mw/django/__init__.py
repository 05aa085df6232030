"""Django: settings, models and commands around the same BearerAuth, Issuer and revocation list as everywhere."""

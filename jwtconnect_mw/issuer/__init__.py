"""The issuer: hands access tokens out, refreshes them, tells about them and revokes them."""

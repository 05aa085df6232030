"""README.md, taken apart: its blocks of code and its tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


class Block(NamedTuple):
    chapter: str
    heading: str
    language: str
    code: str
    line: int


def blocks() -> Iterator[Block]:
    """Every fenced block, with the headings it stands under and the line of its first line of code."""
    chapter = heading = language = ""
    code: list[str] = []
    for number, line in enumerate(README.splitlines(), 1):
        if line.startswith("```") and not language:
            language, code = line[3:], []
        elif line == "```":
            yield Block(chapter, heading, language, "\n".join(code), number - len(code))
            language = ""
        elif language:
            code.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
            chapter = heading if line.startswith("## ") else chapter


BLOCKS = tuple(blocks())
DJANGO_CHAPTERS = ("Django", "Coming from django-jwtconnect-auth", "Coming from simplejwt")
"""Those whose code runs inside a project of Django: see test_django_readme."""


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table under a heading."""
    section = re.split(r"^#", README.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def unquoted(cell: str) -> str:
    assert not cell or re.fullmatch(r"`[^`]+`", cell), cell
    return cell.strip("`")

"""Plain tables, and the goals of the issue beside the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .measure import Ratio, Series, quartiles


@dataclass(frozen=True)
class Verdict:
    """One figure and its goal. `judged=False`: shown for information, the issue sets the goal for something else."""

    what: str
    figure: str
    goal: str
    met: bool | None
    judged: bool = True

    @property
    def word(self) -> str:
        if self.met is None:
            return "-"
        word = "ok" if self.met else "MISSED"
        return word if self.judged else f"({word.lower()})"

    @property
    def missed(self) -> bool:
        return self.judged and self.met is False


def at_most(what: str, ratio: Ratio, limit: float, unit: str = "x", *, judged: bool = True) -> Verdict:
    return Verdict(what, show_ratio(ratio, unit), f"<= {limit:g} {unit}", ratio.value <= limit, judged)


def at_least(what: str, ratio: Ratio, limit: float, unit: str = "x") -> Verdict:
    return Verdict(what, show_ratio(ratio, unit), f">= {limit:g} {unit}", ratio.value >= limit)


def below(what: str, value: float, limit: float, unit: str, *, judged: bool = True) -> Verdict:
    return Verdict(what, f"{value:.2f} {unit}", f"<= {limit:g} {unit}", value <= limit, judged)


def information(what: str, figure: str) -> Verdict:
    return Verdict(what, figure, "", None, judged=False)


def show_ratio(ratio: Ratio, unit: str = "x") -> str:
    digits = 4 if ratio.value < 0.1 else 2
    return f"{ratio.value:.{digits}f} {unit} [{ratio.low:.{digits}f} .. {ratio.high:.{digits}f}]"


def cell(series: Series | None) -> str:
    """Median, and half the distance of the quartiles."""
    if series is None:
        return ""
    low, high = quartiles(list(series.by_round.values()))
    digits = 2 if series.median < 10 else 1
    return f"{series.median:.{digits}f} ±{(high - low) / 2:.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        first, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join([row[0].ljust(len(first)), *rest]).rstrip())
    print(flush=True)


def goals(verdicts: Sequence[Verdict]) -> None:
    width = max(len(verdict.what) for verdict in verdicts)
    figure = max(len(verdict.figure) for verdict in verdicts)
    for verdict in verdicts:
        print(f"{verdict.what:<{width}}  {verdict.figure:>{figure}}  {verdict.goal:>12}  {verdict.word}".rstrip())
    print(flush=True)

"""Tables and trees for people: in colour on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from canary.cli.exits import Exit, Stopped

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

ENDLESS = 10_000
"""The width of what is no terminal: nothing is cut off or broken there."""
MISSING = "-"
COLOURS = {
    "Succeeded": "green",
    "Initialized": "green",
    "Failed": "red",
    "Progressing": "cyan",
    "Promoting": "cyan",
    "Finalising": "cyan",
    "Waiting": "yellow",
    "WaitingPromotion": "yellow",
    "refused": "red",
    "warning": "yellow",
}
"""Words that are coloured where they stand alone in a cell or begin a label."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of a tree, with what is below it."""

    label: str
    below: tuple[Branch, ...] = ()


def show_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a head; None is shown as a dash."""
    console = _console()
    _show(console, table(head, rows))


def show_tree(root: Branch) -> None:
    """Print a tree."""
    console = _console()
    _show(console, _tree(root))


@contextlib.contextmanager
def live_table(head: Sequence[str]) -> Iterator[Callable[[Sequence[Sequence[object]]], None]]:
    """Give what shows other rows in the place of those before, on a terminal."""
    console = _console()
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as live:
        yield lambda rows: live.update(table(head, rows), refresh=True)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> RenderableType:
    """Return a table without lines, for a console that takes words as they stand."""
    _console()
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(head):
        # What is long stands last and may be broken on a narrow terminal; the rest may not.
        made.add_column(name, no_wrap=number < len(head) - 1)
    for row in rows:
        cells = [MISSING if value in (None, "") else str(value) for value in row]
        made.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells))
    return made


def _tree(root: Branch) -> RenderableType:
    from rich.text import Text
    from rich.tree import Tree

    made = Tree(Text(root.label))
    waiting = [(made, one) for one in reversed(root.below)]
    while waiting:
        parent, branch = waiting.pop()
        child = parent.add(Text(branch.label))
        waiting += [(child, one) for one in reversed(branch.below)]
    return made


def _console() -> Console:
    try:
        from rich.console import Console
    except ImportError:
        raise Stopped("rich is missing; pip install 'canary-delivery[cli]'", Exit.USAGE) from None
    return Console(width=None if sys.stdout.isatty() else ENDLESS, highlight=False, markup=False, emoji=False)


def _show(console: Console, what: RenderableType) -> None:
    if console.is_terminal:
        console.print(what)
        return
    with console.capture() as captured:
        console.print(what)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))

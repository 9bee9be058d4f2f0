"""Progress bars, drawn in a terminal or a notebook, but not in a file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import notebook
from tqdm.auto import tqdm


def is_drawn() -> bool:
    """Whether the output can redraw a bar in place: a terminal or a notebook."""
    return issubclass(tqdm, notebook.tqdm_notebook) or sys.stderr.isatty()


def bar(*, drawn: bool, **options: Any) -> tqdm:
    """Return tqdm's bar with these options; it shows nothing unless `drawn`."""
    return tqdm(disable=not drawn, **options)


def write_line(text: str) -> None:
    """Write a line of progress, where no bar is drawn."""
    print(text, file=sys.stderr, flush=True)

"""Progress bars: drawn where somebody looks on, in a terminal or a notebook, not in a file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import notebook
from tqdm.auto import tqdm


def is_drawn() -> bool:
    """Whether a bar would be drawn over itself, and not written down again with every step."""
    return issubclass(tqdm, notebook.tqdm_notebook) or sys.stderr.isatty()


def bar(*, drawn: bool, **options: Any) -> tqdm:
    """Return tqdm's bar with these options, which shows nothing unless it is to be drawn."""
    return tqdm(disable=not drawn, **options)


def write_line(text: str) -> None:
    """Write what stands in a file where there is no bar."""
    print(text, file=sys.stderr, flush=True)

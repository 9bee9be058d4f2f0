"""Progress bars, drawn in a terminal or a notebook, but not in a file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm.auto import tqdm


def bar(*, show: bool, **options: Any) -> tqdm:
    """Return tqdm's bar with these options; until it is closed, `disable` is False if it is drawn.

    It is drawn if `show` is True and the output can redraw it: in a terminal or a notebook.
    """
    return tqdm(disable=None if show else True, **options)


def write_line(text: str) -> None:
    """Write a line of progress, where no bar is drawn."""
    print(text, file=sys.stderr, flush=True)

"""Progress of training: a bar in a terminal or notebook, lines in a log."""

from __future__ import annotations

from skmetainv.bars import bar, write_line
from skmetainv.training.history import History, as_text


class Progress:
    """Shows the progress of training, with the figures of its history.

    In a terminal or a notebook, it draws a tqdm bar and updates it with every step. Elsewhere, for
    instance in a file, it writes one line per epoch.

    Parameters
    ----------
    n_steps : int
        Total number of steps.
    n_done : int
        Number of steps that are already done.
    show : bool
        Whether to show anything.
    """

    def __init__(self, n_steps: int, n_done: int, *, show: bool):
        self._bar = bar(show=show, total=n_steps, initial=n_done, unit="step")
        self._writes = show and self._bar.disable

    def begin_epoch(self, name: str) -> None:
        """Start an epoch with this name."""
        self._name = name
        self._bar.set_description(name)

    def step(self) -> None:
        """Count a step."""
        self._bar.update()

    def end_epoch(self, history: History) -> None:
        """End an epoch, and show the last figures of a history."""
        figures = as_text(history)
        self._bar.set_postfix(figures)
        if self._writes:
            values = ", ".join(f"{name}={value}" for name, value in figures.items())
            write_line(f"{self._name}: {values}")

    def close(self) -> None:
        """Close the bar, and leave it on the screen."""
        self._bar.close()

"""How far training is: a bar where somebody looks on, lines where a log is kept."""

from __future__ import annotations

from skmetainv.bars import bar, is_drawn, write_line
from skmetainv.training.figures import History, as_text


class Progress:
    """Shows how far training is, with the figures of its history.

    In a terminal and in a notebook it is tqdm's bar, drawn anew with every step. Elsewhere, in a
    file for instance, it is one line per epoch.

    Parameters
    ----------
    n_steps : int
        How many steps there are.
    n_done : int
        How many of them were made before.
    show : bool
        Whether to show anything.
    """

    def __init__(self, n_steps: int, n_done: int, *, show: bool):
        drawn = show and is_drawn()
        self._bar = bar(drawn=drawn, total=n_steps, initial=n_done, unit="step")
        self._writes = show and not drawn

    def begin_epoch(self, name: str) -> None:
        """Begin an epoch, which is called by this name."""
        self._name = name
        self._bar.set_description(name)

    def step(self) -> None:
        """Count a step."""
        self._bar.update()

    def end_epoch(self, history: History) -> None:
        """End an epoch, whose figures are the last ones of a history."""
        figures = as_text(history)
        self._bar.set_postfix(figures)
        if self._writes:
            told = ", ".join(f"{name}={value}" for name, value in figures.items())
            write_line(f"{self._name}: {told}")

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()

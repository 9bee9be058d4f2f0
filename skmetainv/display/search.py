"""The scores of a search over parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmetainv.display.drawing import COLORS, SEQUENTIAL, one_axes, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# A heat map of more cells has no numbers.
_MOST_TEXTS = 64
# Stands for a parameter that a candidate does not have.
_ABSENT = object()


class SearchDisplay:
    """The scores of a search over one parameter (a line) or two (a heat map).

    Use `from_estimator` or `from_cv_results` to create one. Bars and numbers after ± are standard
    deviations over the folds. The best candidate of the plot is marked. If candidates are random,
    they are points, with the score as colour if there are two parameters. Candidates whose score is
    NaN are marked as failed.

    Parameters
    ----------
    cv_results : dict
        The `cv_results_` of a search of scikit-learn.
    score : str, default="score"
        The name of the score, if the search has several.

    Attributes
    ----------
    index_ : ndarray of int
        The index in `cv_results` of each drawn candidate: one per value or point, or an array with
        rows and columns, with -1 where the search has no candidate.
    best_index_ : int
        The index of the best drawn candidate; -1 if no score is finite.
    ax_ : Axes
        The axes.
    figure_ : Figure
        The figure.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skmetainv import ClassicalReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.display import SearchDisplay
    >>> from skmetainv.operators import GaussianBlur
    >>> from skmetainv.solvers import PrimalDual
    >>> est = ClassicalReconstructor(GaussianBlur(), PrimalDual(20), noise=0.02)
    >>> search = GridSearchCV(est, {"solver__weight": [1e-4, 1e-3, 1e-2]}, cv=2)
    >>> display = SearchDisplay.from_estimator(search.fit(load_faces()[:10]))
    >>> display.index_.shape
    (3,)
    """

    def __init__(self, cv_results: Mapping[str, Any], *, score: str = "score"):
        self.cv_results, self.score = cv_results, score
        if f"mean_test_{score}" not in cv_results:
            names = [n.removeprefix("mean_test_") for n in cv_results if n.startswith("mean_test_")]
            raise ValueError(f"The 'score' parameter must be among {names}. Got {score!r} instead.")

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        params: str | Sequence[str] | None = None,
        *,
        fixed: Mapping[str, Any] | None = None,
        score: str = "score",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the scores of a fitted search.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV or another search of scikit-learn
            The fitted search.
        params, fixed : object
            See `plot`.
        score : str, default="score"
            The name of the score, if the search has several.
        ax : Axes, default=None
            The axes to draw in. None makes a new figure.

        Returns
        -------
        display : SearchDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the search is not fitted.
        ValueError
            If the search has no such score or parameters.
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(search, "cv_results_")
        return cls(search.cv_results_, score=score).plot(params, fixed=fixed, ax=ax)

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        params: str | Sequence[str] | None = None,
        *,
        fixed: Mapping[str, Any] | None = None,
        score: str = "score",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the scores of a search's `cv_results_`.

        Parameters
        ----------
        cv_results : dict
            The `cv_results_` of a search.
        params, fixed, score, ax : object
            See `from_estimator`.

        Returns
        -------
        display : SearchDisplay
            The display, drawn.
        """
        return cls(cv_results, score=score).plot(params, fixed=fixed, ax=ax)

    def plot(
        self,
        params: str | Sequence[str] | None = None,
        *,
        fixed: Mapping[str, Any] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the scores over one or two parameters.

        Parameters
        ----------
        params : str or list of str, default=None
            The parameter of the horizontal axis, or those of the vertical and the horizontal axis.
            None is all parameters with more than one value that are not fixed; there must be one or
            two.
        fixed : dict of str to object, default=None
            Values of the other parameters. Parameters that are neither drawn nor fixed have the
            value of the best candidate; the title says so.
        ax : Axes, default=None
            The axes to draw in. None makes a new figure.

        Returns
        -------
        display : SearchDisplay
            The display itself.

        Raises
        ------
        ValueError
            If these are not one or two parameters of the search, or if no candidate has the fixed
            values.
        """
        given, fixed = fixed, dict(fixed or {})
        names = self._names(params, fixed)
        chosen = self._candidates(names, fixed)
        is_scattered = len(names) == 1 and len(chosen) < 2
        if is_scattered:  # candidates of a random search have no value in common
            fixed = {n: v for n, v in fixed.items() if n in (given or ())}
            chosen = self._matching(names, fixed)
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        scores = self._scores(np.array(chosen))[0]
        finite = np.isfinite(scores)
        best = np.argmax(np.where(finite, scores, -np.inf))
        self.best_index_ = chosen[best] if finite.any() else -1
        if len(names) == 1:
            self._draw_line(names[0], chosen, is_scattered)
        elif self._is_grid(names, chosen):
            self._draw_map(names[0], names[1], chosen)
        else:
            self._draw_points(names[0], names[1], chosen)
        settings = ", ".join(f"{_short(n)}={_text(v)}" for n, v in fixed.items())
        self.ax_.set_title(settings, fontsize="medium")
        return self

    def _names(self, params: str | Sequence[str] | None, fixed: dict[str, Any]) -> list[str]:
        candidates = self.cv_results["params"]
        known = list(dict.fromkeys(name for c in candidates for name in c))
        if params is None:
            varied = [n for n in known if len(_unique(c.get(n, _ABSENT) for c in candidates)) > 1]
            names = [n for n in varied if n not in fixed]
        else:
            names = [params] if isinstance(params, str) else list(params)
        if len(names) not in (1, 2) or any(n not in known for n in [*names, *fixed]):
            raise ValueError(
                f"The 'params' parameter must be one or two of {known}. Got {params!r} instead, "
                f"with fixed={fixed!r}."
            )
        return names

    def _matching(self, names: list[str], fixed: dict[str, Any]) -> list[int]:
        """Return the indices of the candidates that have the parameters and the fixed values."""
        matching = [
            i
            for i, c in enumerate(self.cv_results["params"])
            if all(n in c for n in names)
            and all(_same(c.get(n, _ABSENT), v) for n, v in fixed.items())
        ]
        if not matching:
            raise ValueError(f"No candidate of the search has {names} and the values {fixed!r}.")
        return matching

    def _candidates(self, names: list[str], fixed: dict[str, Any]) -> list[int]:
        """Return the indices of the candidates to draw; add the best one's values to `fixed`."""
        candidates = self.cv_results["params"]
        matching = self._matching(names, fixed)
        scores = np.nan_to_num(self._scores(np.array(matching))[0], nan=-np.inf)
        best = candidates[matching[int(np.argmax(scores))]]
        varied = [
            n
            for n in best
            if n not in names
            and n not in fixed
            and len(_unique(c.get(n, _ABSENT) for c in candidates)) > 1
        ]
        fixed |= {n: best[n] for n in varied}
        return self._matching(names, fixed)

    def _is_grid(self, names: list[str], chosen: list[int]) -> bool:
        """Return whether candidates fill half of a grid, or have values that are no numbers."""
        values = [[self.cv_results["params"][i][n] for i in chosen] for n in names]
        n_cells = len(_unique(values[0])) * len(_unique(values[1]))
        numeric = all(_is_number(v) for of_one in values for v in of_one)
        return 2 * len(chosen) >= n_cells or not numeric

    def _draw_line(self, name: str, chosen: list[int], is_scattered: bool) -> None:
        pairs = [(self.cv_results["params"][i][name], i) for i in chosen]
        numeric = all(_is_number(v) for v, _ in pairs)
        if numeric:
            pairs.sort()
        values, self.index_ = [v for v, _ in pairs], np.array([i for _, i in pairs])
        x = np.array(values, dtype=float) if numeric else np.arange(len(values))
        means, stds = self._scores(self.index_)
        (style,) = styles(1)
        if is_scattered or not numeric:
            style["linestyle"] = "none"
        self.ax_.errorbar(x, means, stds, **style, capsize=3)
        is_best = self.index_ == self.best_index_
        self.ax_.plot(x[is_best], means[is_best], "o", ms=12, mfc="none", mec="black", label="best")
        failed = x[~np.isfinite(means)]
        if len(failed):
            low = self.ax_.get_ylim()[0]
            self.ax_.plot(failed, np.full(len(failed), low), "x", color="black", label="failed")
        if numeric:
            _scale(self.ax_.set_xscale, x)
        else:
            self.ax_.set_xticks(x, [_text(v) for v in values], rotation=_rotation(values))
        self.ax_.set(xlabel=_short(name), ylabel=self.score)
        self.ax_.legend()

    def _draw_points(self, vertical: str, horizontal: str, chosen: list[int]) -> None:
        """Draw the candidates of a random search as points."""
        self.index_ = np.array(chosen)
        y, x = (
            np.array([self.cv_results["params"][i][n] for i in chosen], dtype=float)
            for n in (vertical, horizontal)
        )
        means, _ = self._scores(self.index_)
        drawn = self.ax_.scatter(x, y, c=means, cmap=SEQUENTIAL, edgecolors="black", s=50)
        is_best = self.index_ == self.best_index_
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": COLORS[1], "linewidths": 2.5}
        self.ax_.scatter(x[is_best], y[is_best], s=160, **ring)
        _scale(self.ax_.set_xscale, x)
        _scale(self.ax_.set_yscale, y)
        self.ax_.set(xlabel=_short(horizontal), ylabel=_short(vertical))
        self.figure_.colorbar(drawn, ax=self.ax_, label=self.score)

    def _draw_map(self, vertical: str, horizontal: str, chosen: list[int]) -> None:
        candidates = self.cv_results["params"]
        rows, columns = (_unique(candidates[i][n] for i in chosen) for n in (vertical, horizontal))
        self.index_ = np.full((len(rows), len(columns)), -1)
        for i in chosen:
            c = candidates[i]
            row = next(k for k, v in enumerate(rows) if _same(v, c[vertical]))
            column = next(k for k, v in enumerate(columns) if _same(v, c[horizontal]))
            self.index_[row, column] = i
        means, stds = self._scores(self.index_)
        everything, _ = self._scores(np.arange(len(candidates)))
        finite = everything[np.isfinite(everything)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        drawn = self.ax_.imshow(means, cmap=SEQUENTIAL, vmin=low, vmax=high, aspect="auto")
        scaled: Any = drawn.norm
        for (row, column), i in np.ndenumerate(self.index_):
            mean, best = means[row, column], i == self.best_index_
            if i >= 0 and self.index_.size <= _MOST_TEXTS:
                numbers = f"{mean:.4g}\n± {stds[row, column]:.2g}"
                self.ax_.text(
                    column,
                    row,
                    numbers if np.isfinite(mean) else "failed" if np.isnan(mean) else f"{mean}",
                    color="white" if scaled(mean) < 0.6 else "black",
                    weight="bold" if best else "normal",
                    fontsize="small",
                    ha="center",
                    va="center",
                )
            if i >= 0 and best:
                self._mark(row, column)
        self.ax_.set_xticks(
            range(len(columns)), [_text(v) for v in columns], rotation=_rotation(columns)
        )
        self.ax_.set_yticks(range(len(rows)), [_text(v) for v in rows])
        self.ax_.set(xlabel=_short(horizontal), ylabel=_short(vertical))
        self.figure_.colorbar(drawn, ax=self.ax_, label=self.score)

    def _mark(self, row: int, column: int) -> None:
        from matplotlib.patches import Rectangle

        corner = (column - 0.48, row - 0.47)
        frame = Rectangle(corner, 0.96, 0.94, fill=False, color=COLORS[1], linewidth=2.5)
        self.ax_.add_patch(frame)

    def _scores(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations of candidates; NaN where there is none."""
        means, stds = (
            np.asarray(self.cv_results[f"{of}_test_{self.score}"], dtype=float)[index]
            for of in ("mean", "std")
        )
        return np.where(index < 0, np.nan, means), np.where(index < 0, np.nan, stds)


def _unique(values: Iterable[Any]) -> list[Any]:
    """Return the different values, numbers in ascending order and others in the order given."""
    found: list[Any] = []
    for value in values:
        if not any(_same(value, other) for other in found):
            found.append(value)
    return sorted(found) if all(map(_is_number, found)) else found


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def _same(a: Any, b: Any) -> bool:
    if _is_number(a) and _is_number(b):
        return bool(a == b)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return a is b or (type(a) is type(b) and repr(a) == repr(b))


def _scale(set_scale: Callable[[str], Any], values: np.ndarray) -> None:
    """Set a logarithmic scale if values span several powers of ten."""
    if values.min() > 0 and values.max() / values.min() > 50:
        set_scale("log")


def _rotation(values: list[Any]) -> float:
    """Return the angle of labels: long ones are oblique."""
    return 30.0 if sum(len(_text(v)) for v in values) > 30 else 0.0


def _short(name: str) -> str:
    """Return a parameter's name without those of the objects around it."""
    return name.rpartition("__")[2]


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

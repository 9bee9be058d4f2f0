"""The scores of a search over parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmetainv.display.drawing import SEQUENTIAL, one_axes, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SearchDisplay:
    """The scores of a search over one parameter (a line) or two (a heat map).

    Use `from_estimator` or `from_cv_results` to create one. Bars and numbers after ± are standard
    deviations over the folds. The best candidate of the plot is marked.

    Parameters
    ----------
    cv_results : dict
        The `cv_results_` of a search of scikit-learn.
    score : str, default="score"
        The name of the score, if the search has several.

    Attributes
    ----------
    index_ : ndarray of int
        The index in `cv_results` of each drawn candidate: one per value, or an array with rows and
        columns. -1 where the search has no candidate.
    best_index_ : int
        The index of the best drawn candidate.
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
        score : str, default="score"
            The name of the score, if the search has several.
        params, fixed, ax
            See `plot`.

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
        """Draw the scores of `cv_results_`, see `from_estimator`."""
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
        fixed = dict(fixed or {})
        names = self._names(params, fixed)
        chosen = self._candidates(names, fixed)
        self.ax_ = one_axes(ax)
        self.figure_ = self.ax_.figure
        means = self.cv_results[f"mean_test_{self.score}"]
        self.best_index_ = int(max(chosen, key=lambda i: np.nan_to_num(means[i], nan=-np.inf)))
        (self._draw_line if len(names) == 1 else self._draw_map)(names, chosen)
        settings = ", ".join(f"{_short(n)}={_text(v)}" for n, v in fixed.items())
        self.ax_.set_title(settings, fontsize="medium")
        return self

    def _names(self, params: str | Sequence[str] | None, fixed: dict[str, Any]) -> list[str]:
        candidates = self.cv_results["params"]
        varied = [n for n in candidates[0] if len(_unique(c[n] for c in candidates)) > 1]
        if params is None:
            names = [n for n in varied if n not in fixed]
        else:
            names = [params] if isinstance(params, str) else list(params)
        known = {name for c in candidates for name in c}
        wrong = [n for n in [*names, *fixed] if n not in known]
        if wrong or len(names) not in (1, 2):
            raise ValueError(
                f"The 'params' parameter must be one or two of {sorted(known)}. Got "
                f"{params!r} instead, with fixed={fixed!r}."
            )
        return names

    def _candidates(self, names: list[str], fixed: dict[str, Any]) -> list[int]:
        """Return the indices of the candidates to draw; complete `fixed` by the best values."""
        candidates = self.cv_results["params"]
        means = np.nan_to_num(self.cv_results[f"mean_test_{self.score}"], nan=-np.inf)

        def agree(i: int) -> bool:
            return all(n in candidates[i] and _same(candidates[i][n], v) for n, v in fixed.items())

        matching = [i for i in range(len(candidates)) if agree(i)]
        if not matching:
            raise ValueError(f"No candidate of the search has the fixed values {fixed!r}.")
        best = candidates[max(matching, key=lambda i: means[i])]
        rest = {n: v for n, v in best.items() if n not in names and n not in fixed}
        fixed |= {n: v for n, v in rest.items() if len(_unique(c.get(n) for c in candidates)) > 1}
        return [i for i in matching if agree(i)]

    def _draw_line(self, names: list[str], chosen: list[int]) -> None:
        (name,) = names
        values, self.index_ = self._axis(name, chosen)
        means, stds = self._scores(self.index_)
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        x = np.array(values, dtype=float) if numeric else np.arange(len(values))
        (style,) = styles(1)
        self.ax_.errorbar(x, means, stds, **style, capsize=3)
        best = [*self.index_].index(self.best_index_)
        self.ax_.plot([x[best]], [means[best]], "o", ms=12, mfc="none", mec="black", label="best")
        if numeric and min(values) > 0 and max(values) / min(values) > 50:
            self.ax_.set_xscale("log")
        elif not numeric:
            self.ax_.set_xticks(x, [_text(v) for v in values])
        self.ax_.set(xlabel=_short(name), ylabel=self._label())
        self.ax_.legend()

    def _draw_map(self, names: list[str], chosen: list[int]) -> None:
        (vertical, horizontal), candidates = names, self.cv_results["params"]
        rows, columns = (_unique(candidates[i][n] for i in chosen) for n in names)
        self.index_ = np.full((len(rows), len(columns)), -1)
        for i in chosen:
            c = candidates[i]
            row = next(k for k, v in enumerate(rows) if _same(v, c[vertical]))
            column = next(k for k, v in enumerate(columns) if _same(v, c[horizontal]))
            self.index_[row, column] = i
        means, stds = self._scores(self.index_)
        everything = self.cv_results[f"mean_test_{self.score}"]
        limits = np.nanmin(everything), np.nanmax(everything)
        drawn = self.ax_.imshow(
            means, cmap=SEQUENTIAL, vmin=limits[0], vmax=limits[1], aspect="auto"
        )
        scaled: Any = drawn.norm
        for (row, column), i in np.ndenumerate(self.index_):
            if i < 0:
                continue
            best = i == self.best_index_
            self.ax_.text(
                column,
                row,
                f"{means[row, column]:.4g}\n± {stds[row, column]:.2g}",
                color="white" if scaled(means[row, column]) < 0.6 else "black",
                weight="bold" if best else "normal",
                fontsize="small",
                ha="center",
                va="center",
            )
            if best:
                self._mark(row, column)
        self.ax_.set_xticks(range(len(columns)), [_text(v) for v in columns])
        self.ax_.set_yticks(range(len(rows)), [_text(v) for v in rows])
        self.ax_.set(xlabel=_short(horizontal), ylabel=_short(vertical))
        self.figure_.colorbar(drawn, ax=self.ax_, label=self._label())

    def _mark(self, row: int, column: int) -> None:
        from matplotlib.patches import Rectangle

        frame = Rectangle(
            (column - 0.48, row - 0.47), 0.96, 0.94, fill=False, color="#D55E00", linewidth=2.5
        )
        self.ax_.add_patch(frame)

    def _axis(self, name: str, chosen: list[int]) -> tuple[list[Any], np.ndarray]:
        """Return the values of one parameter, and the candidate of each, in ascending order."""
        pairs = [(self.cv_results["params"][i][name], i) for i in chosen]
        if all(isinstance(v, int | float) for v, _ in pairs):
            pairs.sort()
        return [v for v, _ in pairs], np.array([i for _, i in pairs])

    def _scores(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return means and standard deviations of candidates; NaN where there is none."""
        means, stds = (
            np.asarray(self.cv_results[f"{of}_test_{self.score}"], dtype=float)[index]
            for of in ("mean", "std")
        )
        return np.where(index < 0, np.nan, means), np.where(index < 0, np.nan, stds)

    def _label(self) -> str:
        return "score" if self.score == "score" else self.score


def _unique(values: Any) -> list[Any]:
    """Return the different values, numbers in ascending order and others in the order given."""
    found: list[Any] = []
    for value in values:
        if not any(_same(value, other) for other in found):
            found.append(value)
    return sorted(found) if all(isinstance(v, int | float) for v in found) else found


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and repr(a) == repr(b)) or bool(np.all(a == b))


def _short(name: str) -> str:
    """Return a parameter's name without those of the objects around it."""
    return name.rpartition("__")[2]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

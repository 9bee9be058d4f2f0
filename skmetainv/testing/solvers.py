"""The check of solvers."""

from __future__ import annotations

from typing import Any

import torch

from skmetainv.operators import DataTerm, ForwardMap, GaussianBlur, Operator
from skmetainv.solvers import IterativeSolver, Solver
from skmetainv.testing.derivatives import require_derivatives, require_finite_derivatives
from skmetainv.testing.failures import (
    checking,
    require,
    require_close,
    require_finite,
    require_unchanged,
)
from skmetainv.testing.other_types import require_other_types
from skmetainv.testing.parameter_objects import check_parameter_object
from skmetainv.testing.samples import BATCH, normal


def check_solver(
    solver: Solver,
    image_shape: tuple[int, ...] = (1, 3, 4),
    *,
    operator: Operator | None = None,
    differentiable: bool = True,
    device: str = "auto",
) -> None:
    """Raise an error unless a solver has the properties of this library's solvers.

    Each image of a batch must be computed on its own, and results must agree in single and
    double precision. First and second derivatives with respect to start, measurement and trainable
    parameters must be exact. First and second derivatives must be finite at the solution and on
    constant images. ``f(x, data)`` must equal the result of ``f.run`` after `n_iter` updates. The
    object must work with scikit-learn's `clone`, `set_params`, `repr` and pickle.

    Parameters
    ----------
    solver : Solver
        The solver to check.
    image_shape : (int, int, int), default=(1, 3, 4)
        Channels, height and width of the test images.
    operator : Operator, default=None
        The forward operator. If None, ``GaussianBlur(sigma=0.8)``.
    differentiable : bool, default=True
        Whether the solver must have derivatives, which training needs.
    device : str, default="auto"
        Device whose results are compared with those of the CPU. "auto" is a CUDA device if there is
        one; "cpu" means no comparison.

    Raises
    ------
    PropertyError
        If a property does not hold. The message names the property, the numbers and the likely
        cause.
    TypeError, ValueError
        By `solver` itself, if it does not accept its parameters, such images or the operator.

    Examples
    --------
    >>> from skmetainv.solvers import ConjugateGradient
    >>> from skmetainv.testing import check_solver
    >>> check_solver(ConjugateGradient(n_iter=3))
    """
    operator = GaussianBlur(sigma=0.8) if operator is None else operator
    A = operator.build(image_shape)
    x, y = normal(BATCH, *image_shape), normal(BATCH, *A.measurement_shape, seed=1)
    with checking(solver):
        check_parameter_object(
            solver,
            Solver,
            lambda part: part.build(image_shape).double()(x.clone(), A.bind(y)).detach(),
        )
        f = solver.build(image_shape).double()
        with torch.no_grad():
            _check_images(f, A, x, y)
            _check_run(f, x, A.bind(y))
            _check_other_types(solver, operator, x, y, device)
        if differentiable:
            trainable = solver.trainable().build(image_shape).double()
            _check_derivatives(trainable, A, x[:1], y[:1])


def _check_images(f: IterativeSolver, A: ForwardMap, x: torch.Tensor, y: torch.Tensor) -> None:
    original = x.clone()
    together = f(x, A.bind(y))
    require_unchanged(x, original, "the start as it is", "x -= step; write x - step")
    require_finite(
        together,
        "must give finite images",
        "a step size that is too large for the operator's norm; scale it with data.squared_norm",
    )
    for i in range(len(x)):
        row = slice(i, i + 1)
        require_close(
            together[row],
            f(x[row], A.bind(y[row])),
            1e-8,
            "must solve for each image of a batch as it would alone",
            "a norm or an inner product over the batch; compute along the axes after the first",
            size=x,
        )


def _check_run(f: IterativeSolver, x: torch.Tensor, data: DataTerm) -> None:
    state = f.init(x, data)
    for k in range(max(1, f.n_iter)):
        rows = [len(entry) for entry in state]
        require(
            rows == [len(x)] * len(rows),
            f"must have one row per image in every entry of its state, {len(x)}",
            f"{rows} rows before update {k}",
            "an entry that belongs to the whole batch; a number per image is one of shape (batch, "
            "1, 1, 1)",
        )
        state = f.step(state, data, k)
    scales: Any = f.scales(0, data)
    warned: Any = f.check(data.A)  # type: ignore[func-returns-value]
    require(
        isinstance(scales, tuple) and warned is None,
        "must have a tuple of `scales` and warn by `check` without a result",
        f"{scales!r} and {warned!r}",
        "a method `scales` without a return, or a method `check` with one",
    )
    run = f.run(x, data, max_iter=f.n_iter)
    require_close(
        run.x,
        f(x, data),
        0.0,
        "must return the same by run(..., max_iter=n_iter) as by f(x, data)",
        "state that is kept in the module; carry it in the state that `step` returns",
    )
    require(
        [len(changes) for changes in run.changes] == [f.n_iter] * len(x) and not any(run.converged),
        f"must make n_iter={f.n_iter} updates if there is no tolerance",
        f"{[len(changes) for changes in run.changes]}",
        "images that are not finite",
    )


def _check_derivatives(f: IterativeSolver, A: ForwardMap, x: torch.Tensor, y: torch.Tensor) -> None:
    learned = {n: p.detach() for n, p in f.named_parameters() if "denoiser" not in n}

    def solved(x: torch.Tensor, y: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        parameters = dict(zip(learned, weights, strict=True))
        solution: torch.Tensor = torch.func.functional_call(f, parameters, (x, A.bind(y)))
        return solution

    names = ", ".join(learned)
    what = "the result in start and measurement" + (f", and in {names}" if names else "")
    require_derivatives(solved, (x, y, *learned.values()), what)
    for start in (x, torch.zeros_like(x), torch.full_like(x, 0.5)):
        data = A.bind(A(start))
        require_finite_derivatives(
            lambda x, data=data: f(x, data),  # type: ignore[misc]
            start,
            "at the solution and on constant images",
        )


def _check_other_types(
    solver: Solver, operator: Operator, x: torch.Tensor, y: torch.Tensor, device: str
) -> None:
    shape = tuple(x.shape[1:])

    def compute(place: torch.device, dtype: torch.dtype) -> torch.Tensor:
        A, f = operator.build(shape).to(place, dtype), solver.build(shape).to(place, dtype)
        there: torch.Tensor = f(x.to(place, dtype), A.bind(y.to(place, dtype)))
        return there

    require_other_types(
        compute,
        (1e-4, 1e-7),
        "solve",
        "a tensor that is no buffer of the module, or made without the type of x; x.new_zeros(...)",
        device,
        size=x,
    )

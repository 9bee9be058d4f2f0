"""The check of parameter objects: they are cloned, shown and pickled as in scikit-learn."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import torch
from sklearn.base import clone

from skmetainv.parameters import ParameterObject, is_importable
from skmetainv.testing.failures import require, required


def check_parameter_object(
    part: ParameterObject, base: type[ParameterObject], outcome: Callable[[Any], torch.Tensor]
) -> None:
    """Raise an error unless an object can be cloned, shown, changed, pickled and built.

    Parameters
    ----------
    part : ParameterObject
        The object.
    base : type of ParameterObject
        The base class that it must have.
    outcome : callable
        Takes such an object, builds it, and returns a result of the built module.

    Raises
    ------
    PropertyError
        If a property does not hold.
    TypeError
        If the object is not an instance of `base`.
    """
    if not isinstance(part, base):
        raise TypeError(
            f"The checked object must be an instance of {base.__name__}. Got {part!r} instead."
        )
    attributes = dict(vars(part))
    with (
        required(
            "must compute in torch.float64 on the CPU, where it is built",
            "a tensor in torch.float32; make it by torch.tensor(..., dtype=torch.float64)",
            RuntimeError,
        ),
        required(
            "must have all methods that its base class does not define",
            "a method that is missing, or whose name is misspelt",
            NotImplementedError,
        ),
    ):
        expected = outcome(part)
    names = {*attributes, *vars(part)}
    changed = [k for k in names if vars(part).get(k, part) is not attributes.get(k)]
    require(
        not changed,
        "must stay as it is when it is built",
        f"the changed attributes {sorted(changed)}",
        "`build` stores results in the object; keep them in the module that it returns",
    )
    again = outcome(part)
    require(
        torch.equal(again, expected),
        "must give the same bits each time that it is built",
        f"results that differ by up to {_difference(again, expected):.3g}",
        "it draws from a global generator; draw from np.random.default_rng(seed) with a seed that "
        "is a parameter",
    )
    _check_copies(part)
    _check_pickle(part, outcome, expected)


def _check_copies(part: ParameterObject) -> None:
    """Raise an error unless scikit-learn's `clone`, `get_params` and `set_params` agree."""
    cause = (
        "a constructor that changes or leaves out parameters; declare them as fields, name: type = "
        "default, and compute in `build`"
    )
    with required("must be copied by sklearn.base.clone", cause, Exception):
        copied = clone(part)
    shown, again = repr(part), repr(copied)
    require(shown == again, "must look the same when cloned", f"{shown} and {again}", cause)
    params = part.get_params(deep=False)
    with required("must accept its own parameters in set_params", cause, Exception):
        copied.set_params(**params)
    lost = [k for k, value in params.items() if getattr(copied, k) is not value]
    require(not lost, "must keep the values that set_params sets", f"other values of {lost}", cause)


def _check_pickle(
    part: ParameterObject, outcome: Callable[[Any], torch.Tensor], expected: torch.Tensor
) -> None:
    """Raise an error unless the object computes the same after pickling.

    A class defined in a function or in a doctest cannot be found by its name, and so cannot be
    pickled. If the object or a part of it has such a class, nothing is checked.
    """
    parts = [part, *part.get_params(deep=True).values()]
    if not all(is_importable(type(p)) for p in parts if isinstance(p, ParameterObject)):
        return
    with required(
        "must be pickled",
        "a parameter that is a lambda or a function inside another one; define it in a module",
        Exception,
    ):
        saved = pickle.loads(pickle.dumps(part))
    got = outcome(saved)
    require(
        torch.equal(got, expected),
        "must compute the same after it was pickled",
        f"results that differ by up to {_difference(got, expected):.3g}",
        "state beside the parameters",
    )


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().abs().max()) if a.shape == b.shape else float("nan")

"""Single cases: a class with one wrong parameter, or an estimator with an odd array."""

import contextlib
import os
import re
import tempfile
import warnings
from collections import Counter

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.fuzz.subjects import CLASSES, GRAY, SUBJECTS, quick
from benchmarks.fuzz.values import CHANGES, SAME, VALUES
from skmetainv import ClassicalReconstructor, LinearReconstructor, UNetReconstructor
from skmetainv.denoisers import DnCNN
from skmetainv.operators import Identity, Inpainting, MissingPixels
from skmetainv.solvers import GradientDescent

#: Errors of ours. Others, such as RuntimeError, AttributeError and IndexError, are a fault.
ERRORS = (ValueError, TypeError, OSError, ImportError)


class FaultError(AssertionError):
    """An outcome that is neither a right answer, nor announced, nor an error that names it."""


@contextlib.contextmanager
def _apart():
    """Work in an empty folder, print nothing, and record warnings."""
    before = os.getcwd()
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(record=True) as caught,
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        warnings.simplefilter("always")
        os.chdir(folder)
        try:
            yield caught
        finally:
            os.chdir(before)


def outcome(use, names):
    """Return "right", "announced" or "refused"; raise a `FaultError` otherwise.

    Parameters
    ----------
    use : callable
        Restores images with the wrong parameter or array.
    names : set of str
        Words of which an error must contain one.
    """
    before = _global_state()
    with _apart() as caught, np.errstate(all="ignore"):
        try:
            result = np.asarray(use())
        except ERRORS as error:
            text = f"{error} {' '.join(getattr(error, '__notes__', []))}"
            if not any(re.search(rf"(?<![a-zA-Z0-9]){re.escape(name)}", text) for name in names):
                raise FaultError(f"the error names none of {sorted(names)}: {text}") from error
            result = None
    if _global_state() != before:
        raise FaultError("a global state was changed")
    if result is None:
        return "refused"
    if not np.isfinite(result).all():
        if not caught:
            raise FaultError("the result is not finite, and there was no warning")
        return "announced"
    return "right"


def _global_state():
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002
        torch.get_rng_state().numpy().tobytes(),
    )


# ---------------------------------------------------------------------- parameters


def with_parameter(name, parameter, value):
    """Return the outcome of using a class with one parameter set to a value."""
    subject = SUBJECTS[name]

    def use():
        return subject.use(subject.make().set_params(**{parameter: value}))

    if "loss" in parameter:
        name = "FunctionLoss" if callable(value) else name
    is_file = parameter == "weights" and isinstance(value, str)
    return outcome(use, {parameter, name, *([repr(value)[1:-1]] if is_file else [])})


PARAMETERS = st.sampled_from([
    (name, parameter)
    for name, cls in sorted(CLASSES.items())
    for parameter in cls._get_param_names()
])  # fmt: skip

# ---------------------------------------------------------------------- arrays

ESTIMATORS = {
    "MetaInverseSolver": lambda: quick(Inpainting(), GradientDescent()),
    "missing pixels": lambda: quick(MissingPixels(0.5)),
    "ClassicalReconstructor": lambda: ClassicalReconstructor(Identity(), max_iter=2),
    "LinearReconstructor": lambda: LinearReconstructor(Inpainting(), noise=0.01),
    "UNetReconstructor": lambda: UNetReconstructor(width=2, depth=1, max_epochs=1, random_state=0),
    "DnCNN": lambda: DnCNN(depth=2, width=2, max_epochs=1, patch_size=8, random_state=0),
}
#: Words of which an error about images must contain one; the last two begin scikit-learn's errors.
ARRAY_WORDS = {
    *("X", "X_val", "y", "y_val", "image", "images", "measurement", "measurements"),
    *("Found array with", "Complex data not supported"),
}
USES = ("fit", "fit with y", "X_val", "predict", "score", "simulate", "partial_fit")


def with_array(name, use, change, type_name):
    """Return the outcome of passing a changed array of some type to a method."""
    odd = CHANGES[change](GRAY)
    if isinstance(odd, np.ndarray) and type_name in SAME:
        with contextlib.suppress(Exception):  # not every type holds every content
            odd = SAME[type_name](odd)

    return outcome(lambda: _called(ESTIMATORS[name](), use, odd), ARRAY_WORDS)


def _called(est, use, odd):
    """Pass an odd array to a method of an estimator; return what it learned, or restored."""
    trains = hasattr(est, "max_epochs")
    if use == "predict":
        return _numbers(est.fit(GRAY).predict(odd))
    if use == "score":
        return min(est.fit(GRAY).score(odd), 1e9)  # infinite for an exact restoration
    if use == "simulate":
        return np.nan_to_num(_numbers(est.fit(GRAY).simulate(odd, random_state=0)))
    if use == "fit with y":
        est.fit(GRAY, odd)
    elif use == "X_val" and trains:
        est.fit(GRAY, X_val=odd)
    elif use == "partial_fit" and trains:
        est.partial_fit(odd)
    else:
        est.fit(odd)
    weights = getattr(est, "weights_", {}).values()
    return np.concatenate([np.zeros(1), *map(np.ravel, weights)])


def _numbers(result):
    if isinstance(result, list):
        return np.concatenate([np.ravel(part) for part in result])
    return np.asarray(result.detach() if torch.is_tensor(result) else result, dtype=float)


ARRAY_CASES = st.tuples(
    st.sampled_from(sorted(ESTIMATORS)),
    st.sampled_from(USES),
    st.sampled_from(sorted(CHANGES)),
    st.sampled_from(["ndarray", *sorted(SAME)]),
)

# ---------------------------------------------------------------------- many cases


def run(kind, n, seed_number=0):
    """Return the counts of outcomes of `n` random cases, and the faults by their messages.

    Parameters
    ----------
    kind : {"parameters", "arrays"}
        What is random.
    n : int
        Number of cases.
    seed_number : int, default=0
        Seed of the cases.
    """
    counts, faults = Counter(), {}
    chosen = {"parameters": (st.tuples(PARAMETERS, VALUES), _parameter_case)}
    chosen["arrays"] = (ARRAY_CASES, lambda case: (with_array, case))
    strategy, as_call = chosen[kind]

    @seed(seed_number)
    @settings(
        max_examples=n,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(case):
        function, arguments = as_call(case)
        try:
            counts[function(*arguments)] += 1
        except Exception as error:
            counts["fault"] += 1
            faults.setdefault(_place(error), (repr(arguments), f"{type(error).__name__}: {error}"))

    one()
    return dict(counts), faults


def _parameter_case(case):
    (name, parameter), value = case
    return with_parameter, (name, parameter, value)


def _place(error):
    """Return the type and the last line of code of an error, to count equal faults once."""
    tracebacks = error.__traceback__
    while tracebacks.tb_next is not None:
        tracebacks = tracebacks.tb_next
    frame = tracebacks.tb_frame
    cause = error.__cause__
    inner = "" if cause is None else _place(cause)
    return f"{type(error).__name__} at {frame.f_code.co_filename}:{tracebacks.tb_lineno} {inner}"

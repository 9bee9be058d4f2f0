"""The parameter object that chooses the parts of the solver to train with ``theta``."""

from __future__ import annotations

from dataclasses import KW_ONLY

from skmetainv.parameters import NOT_NEGATIVE, ParameterObject, StrOptions

# The learning rate of the logarithms of the solver's numbers. It is large because the default
# numbers may be far from the best ones.
_NUMBERS_LR = 0.03


class TuneSolver(ParameterObject):
    """Train the solver with ``theta``, as in section 4.3 of the paper.

    Parameters
    ----------
    part : {"numbers", "all"}, default="numbers"
        "numbers" trains the numbers that the solver's `learnable` parameter names. If it is empty,
        the open numbers are trained: those at "auto", those at None in `HQS`, and the noise level
        of a classical denoiser if the solver sets none. Open numbers are first scaled, each by a
        factor from 1/512 to 512, to minimise the outer loss on the first 16 images. "all" trains
        all numbers that are set, and the weights of the denoiser.
    lr : float, default=None
        Learning rate. None is 0.03 for "numbers", whose logarithms are learned, and the learning
        rate of ``theta`` for "all".

    Examples
    --------
    >>> from skmetainv import MetaInverseSolver
    >>> from skmetainv.meta import TuneSolver
    >>> from skmetainv.solvers import HQS
    >>> est = MetaInverseSolver(solver=HQS(), tune_solver=TuneSolver("all", lr=1e-3))
    """

    part: str = "numbers"
    _: KW_ONLY
    lr: float | None = None

    _parameter_constraints = {
        "part": [StrOptions({"numbers", "all"})],
        "lr": [NOT_NEGATIVE, None],
    }

    def learning_rate(self, outer_lr: float) -> float:
        """Return the learning rate of the solver's weights or numbers.

        Parameters
        ----------
        outer_lr : float
            The learning rate of ``theta``.

        Returns
        -------
        learning_rate : float
            The rate.
        """
        if self.lr is not None:
            return self.lr
        return outer_lr if self.part == "all" else _NUMBERS_LR


#: The constraints of the `tune_solver` parameter.
TUNE_SOLVER_CONSTRAINTS = ["boolean", StrOptions({"auto"}), TuneSolver]


def as_tuning(tune: bool | str | TuneSolver, *, trainable: bool) -> TuneSolver | None:
    """Return `tune` as a `TuneSolver`, or None if nothing is trained.

    "auto" trains the numbers if the solver is `trainable`, else nothing.
    """
    if isinstance(tune, TuneSolver):
        tune._validate_params()
        return tune
    if tune == "auto":
        return TuneSolver() if trainable else None
    return TuneSolver("all") if tune else None

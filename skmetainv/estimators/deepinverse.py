"""An estimator that restores images by a reconstruction model of DeepInverse."""

from __future__ import annotations

import copy
from dataclasses import KW_ONLY
from functools import partial
from typing import Any, Self

import torch
from joblib import wrap_non_picklable_objects
from torch import nn

from skmetainv.inputs import Geometry, Problem
from skmetainv.inputs.validation import check_device
from skmetainv.noise import Noise
from skmetainv.operators import ForwardMap, Operator
from skmetainv.operators.maps.foreign import PhysicsMap
from skmetainv.operators.maps.hidden_parts import (
    all_modules,
    convert,
    frozen,
    move,
    start_anew,
    warm_started,
)
from skmetainv.parameters import comes_from, described
from skmetainv.randomness import integer_seed
from skmetainv.reconstruction import Reconstructor
from skmetainv.reconstruction.autocast import autocast_networks
from skmetainv.reconstruction.chunks import images_at_once, in_equal_chunks
from skmetainv.reconstruction.restorer import Restore, Restorer


class DeepInverseReconstructor(Reconstructor):
    """Restore images by a reconstruction model of DeepInverse, ``x = model(y, physics)``.

    `fit` only records shapes: the model's weights stay as they are. The estimator can also be the
    `residual` of a representation: `skmetainv.MetaInverseSolver` then adds a network's image to the
    image that the model restores.

    Needs the package ``deepinv`` (``pip install "skmetainv[deepinv]"``).

    Parameters
    ----------
    model : torch.nn.Module
        A `deepinv.models.Reconstructor` (`ArtifactRemoval`, unfolded networks, the algorithms of
        `deepinv.optim`), or any module that is called with measurements and their physics, and
        returns images of shape ``(batch, channels, height, width)``. The estimator uses a copy of
        the model, in evaluation mode and without gradients.
    operator : DeepInverseOperator, default=None
        The forward model, whose physics is passed to `model`. It must not be a scaled operator or a
        composition. None is only valid if this estimator is the `residual` of a representation:
        the operator is then that of the outer estimator.
    noise : float or Noise, default=0.0
        Noise of simulated measurements (`score`, `simulate`); a number is the standard deviation
        of Gaussian noise, in the units of the measurement. The model gets the noisy measurements
        and the physics, which has a noise model of its own, but not `noise`.
    batch_size : int, default=16
        Images that `predict` restores at a time.
    precision : {"float32", "float64", "bfloat16"}, default="float32"
        Floating-point type of all computations. If the physics supports one type only, the model
        uses that type. With "bfloat16", the matrix products in the denoising networks of `model`
        (the parts that are DeepInverse denoisers) are bfloat16, and everything else is float32.

    Attributes
    ----------
    model_ : torch.nn.Module
        A copy of the parameter, on the CPU.
    operator_ : DeepInverseOperator
        A copy of the parameter.
    image_shape_ : tuple of int
        Shape of an image.
    measurement_shape_ : tuple of int
        Shape of a measurement in the array that `predict` takes.
    data_range_ : (float, float)
        The least and the largest value that images nominally have.
    n_features_in_ : int
        Length of the second axis of the `X` that was fitted.
    feature_names_in_ : ndarray of str
        Column names, if `X` was a data frame.

    Notes
    -----
    Some models treat a batch as a whole: the algorithms of `deepinv.optim` with
    ``early_stop=True``, for instance. A restored image then depends on the other images in its
    batch. ``batch_size=1`` restores each image on its own. Models that draw random numbers use
    torch's global generator, which `torch.manual_seed` seeds.

    References
    ----------
    Tachella et al., "DeepInverse: A Python package for solving imaging inverse problems with deep
    learning", Journal of Open Source Software, 2025.

    Examples
    --------
    >>> import pytest, torch
    >>> deepinv = pytest.importorskip("deepinv")
    >>> from skmetainv import DeepInverseReconstructor
    >>> from skmetainv.datasets import load_faces
    >>> from skmetainv.operators import DeepInverseOperator
    >>> blur = deepinv.physics.Blur(torch.ones(1, 1, 3, 3) / 9, padding="reflect")
    >>> model = deepinv.optim.PGD(prior=deepinv.optim.TVPrior(), lambda_reg=1e-3, max_iter=5)
    >>> est = DeepInverseReconstructor(model, DeepInverseOperator(blur), noise=0.01)
    >>> faces = load_faces()
    >>> measured = est.simulate(faces[:3], random_state=0)
    >>> est.fit(faces).predict(measured).shape
    (3, 25, 25)
    """

    model: nn.Module
    operator: Operator | None = None
    _: KW_ONLY
    noise: float | Noise = 0.0

    _parameter_constraints = {**Reconstructor._parameter_constraints, "model": [nn.Module]}

    def fit(self, X: Any, y: Any = None) -> Self:
        """Record the shapes of images, and try the model on the first measurement.

        Parameters
        ----------
        X : array-like of shape (n, height, width), (n, height, width, channels) or (n, n_pixels)
            Clean images. See :doc:`/guide/data` for all accepted arrays. If `y` is given:
            measurements.
        y : array-like of two or more dimensions, default=None
            The clean images of the measurements `X`. A 1-D `y` counts as labels and is ignored.

        Returns
        -------
        self : estimator
            The fitted estimator. After an error, it is unchanged.

        Raises
        ------
        ImportError
            If ``deepinv`` is not installed.
        ValueError
            If a parameter is out of its range, if the arrays are not images, if `operator` is not a
            `skmetainv.operators.DeepInverseOperator`, or if the model does not return images.
        """
        with self._fitting(X, y) as (fitted, problem):
            fitted._try(problem)
        return self

    def __getstate__(self) -> dict[str, Any]:
        # Models may hold lambdas, as physics do; pickle rejects lambdas. See `DeepInverseOperator`.
        state = super().__getstate__()
        models = {name: state[name] for name in ("model", "model_") if name in state}
        return state | {
            name: wrap_non_picklable_objects(model, keep_wrapper=False)
            for name, model in models.items()
        }

    def _depends_on_images(self) -> bool:
        return False

    def _weight_holders(self) -> list[Any]:
        return [self.model_]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if comes_from(self.model, "deepinv") and _is_denoiser(self.model):
            raise ValueError(  # a denoiser would take the physics for a noise level
                "The 'model' parameter of DeepInverseReconstructor must be called with "
                "measurements and physics, as a deepinv.models.Reconstructor is. Got "
                f"{type(self.model).__name__}, a denoiser, instead. Write "
                "model=deepinv.models.ArtifactRemoval(denoiser)."
            )

    def _try(self, problem: Problem) -> None:
        """Set the fitted attributes, and restore the first measurement."""
        self.model_ = move(frozen(copy.deepcopy(self.model)), torch.device("cpu"))
        restore = self._build(problem.geometry, problem.A)
        batch = self._first_batch(problem, integer_seed(self.random_state))
        with torch.no_grad():
            batch.A.by_instrument(restore, batch.y)

    def _restorer(self, geometry: Geometry) -> Restorer:
        _, restore = self._built(geometry)
        n = images_at_once(self.batch_size, geometry.tensor_shape, check_device(self.device))
        return Restorer(lambda y, A: in_equal_chunks(partial(restore, A=A), y, n), self.operator_)

    def _build(self, geometry: Geometry, A: ForwardMap) -> Restore:
        """Return a function that restores measurements by a copy of `model_` and `A`'s physics."""
        fitted = _with_physics(A.each[0], self.operator)
        device = check_device(self.device)
        model = convert(copy.deepcopy(self.model_), fitted.only_dtype or self._dtype())
        model = move(model, device)
        if self.precision == "bfloat16":
            _mark_networks(model)
            autocast_networks(model, device)

        warm = warm_started(model)

        def restore(y: torch.Tensor, A: ForwardMap) -> torch.Tensor:
            A = _with_physics(A, type(A).__name__)
            name = f"{type(model).__name__}, the 'model' parameter of DeepInverseReconstructor,"
            start_anew(warm)
            try:
                x = model(A.parted(y), A.physics)
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:
                raise ValueError(
                    f"{name} does not restore images of shape {A.image_shape} from measurements of "
                    f"shape {A.measurement_shape}: {error or type(error).__name__}"
                ) from error
            shape = (len(y), *A.image_shape)
            if not isinstance(x, torch.Tensor) or x.shape != shape or not x.is_floating_point():
                raise ValueError(
                    f"{name} must give images of shape {shape}, in floating point. "
                    f"Got {described(x)} instead."
                )
            return x.to(y.dtype)

        return restore


def _with_physics(A: ForwardMap, got: Any) -> PhysicsMap:
    """Return a map if it is that of a physics; else raise an error that shows `got`."""
    if isinstance(A, PhysicsMap):
        return A
    raise ValueError(
        "The 'operator' parameter of DeepInverseReconstructor must be a DeepInverseOperator, "
        f"because the model is called with its physics. Got {got!r} instead. Write "
        "operator=DeepInverseOperator(physics); deepinv.physics.Denoising() is the identity."
    )


def _is_denoiser(model: nn.Module) -> bool:
    """Return whether a model takes images and a noise level, not measurements and a physics."""
    from deepinv.models import Denoiser, Reconstructor

    return isinstance(model, Denoiser) and not isinstance(model, Reconstructor)


def _mark_networks(model: nn.Module) -> None:
    """Let the denoising networks of a model, but not the physics, compute in mixed precision."""
    for part in all_modules(model):
        if _is_denoiser(part) and next(part.parameters(), None) is not None:
            vars(part)["autocasts"] = True

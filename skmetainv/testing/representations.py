"""The check of representations."""

from __future__ import annotations

import numpy as np
import torch

from skmetainv.operators import DataTerm, GaussianBlur, Operator
from skmetainv.representations import ImageModule, Representation
from skmetainv.testing.derivatives import require_derivatives
from skmetainv.testing.failures import (
    checking,
    require,
    require_close,
    require_finite,
    required,
)
from skmetainv.testing.other_types import require_other_types
from skmetainv.testing.parameter_objects import check_parameter_object
from skmetainv.testing.samples import generators, global_seed, uniform

_IMAGES = 3
Weights = dict[str, torch.Tensor]


def check_representation(
    representation: Representation,
    image_shape: tuple[int, ...] = (1, 3, 4),
    *,
    operator: Operator | None = None,
    device: str = "auto",
) -> None:
    """Raise an error unless a representation has the properties of this library's representations.

    The module must not hold weights. Initial weights must be in double precision and depend only on
    the generator. A stack of several sets of weights must give the image of each set. A single set
    must give the same images as a stack of copies of it. Images must agree in single and double
    precision, and have exact first and second derivatives. If the representation is `continuous`,
    the same weights must give images of other sizes. The object must work with scikit-learn's
    `clone`, `set_params`, `repr` and pickle.

    Parameters
    ----------
    representation : Representation
        The representation to check.
    image_shape : (int, int, int), default=(1, 3, 4)
        Channels, height and width of the test images.
    operator : Operator, default=None
        The forward operator whose measurements condition the representation. If None,
        ``GaussianBlur(sigma=0.8)``.
    device : str, default="auto"
        Device whose results are compared with those of the CPU. "auto" is a CUDA device if there is
        one; "cpu" means no comparison.

    Raises
    ------
    PropertyError
        If a property does not hold. The message names the property, the numbers and the likely
        cause.
    TypeError, ValueError
        By `representation` itself, if it does not accept its parameters or such images.

    Examples
    --------
    >>> from skmetainv.representations import Siren
    >>> from skmetainv.testing import check_representation
    >>> check_representation(Siren(width=4, depth=3))
    """
    case = _RepresentationCase(operator or GaussianBlur(sigma=0.8), tuple(image_shape))
    with checking(representation):
        check_parameter_object(
            representation, Representation, lambda part: case.images_of(part.build(image_shape))
        )
        phi = representation.build(image_shape)
        _check_initial_weights(phi)
        _check_stacks(phi, case)
        _check_restricted(phi, case)
        _check_derivatives(phi, case)
        _check_continuous(phi, representation, case)
        _check_other_types(phi, representation, case, device)


class _RepresentationCase:
    """Measurements of images of one shape, and nonzero weights."""

    def __init__(self, operator: Operator, shape: tuple[int, ...]):
        self.operator, self.shape = operator, shape
        self.A = operator.build(shape)
        self.y = self.A(uniform(_IMAGES, *shape))

    def data(self, images: slice = slice(None)) -> DataTerm:
        """Return the data term of some of the images."""
        return self.A.bind(self.y[images])

    def weights(self, phi: ImageModule, seed: int = 0) -> Weights:
        """Return initial weights, with random numbers for weights that are initially 0."""
        rng = np.random.default_rng(seed)
        return {
            k: v if v.any() else torch.from_numpy(rng.normal(0, 0.4, v.shape))
            for k, v in phi.initial_weights(rng).items()
        }

    def sets(self, phi: ImageModule) -> list[Weights]:
        """Return one set of weights per image; all have the shared weights of the first set."""
        sets = [self.weights(phi, seed) for seed in range(_IMAGES)]
        return [sets[0] | {k: w[k] for k in phi.adapted} for w in sets]

    def images_of(self, phi: ImageModule) -> torch.Tensor:
        """Return the images of one set of weights, conditioned on the measurements."""
        return _images(phi, self.weights(phi), self.data())


def _images(phi: ImageModule, weights: Weights, data: DataTerm) -> torch.Tensor:
    return phi(weights, phi.condition(weights, data))


def _stacked(phi: ImageModule, sets: list[Weights]) -> Weights:
    return sets[0] | {k: torch.stack([w[k] for w in sets]) for k in phi.adapted}


def _check_initial_weights(phi: ImageModule) -> None:
    with global_seed(0):
        weights = phi.initial_weights(*generators(0))
    with global_seed(1):
        again = phi.initial_weights(*generators(0))
    types = {k: v.dtype for k, v in weights.items() if v.dtype != torch.float64}
    require(
        not types,
        "must begin with weights in torch.float64",
        str(types),
        "torch.zeros(...) without dtype=torch.float64",
    )
    missing = [k for k in phi.adapted if k not in weights]
    require(
        not missing,
        f"must have initial weights of all names in `adapted`, {list(phi.adapted)}",
        f"none for {missing} but {list(weights)}",
        "`adapted` and `initial_weights` spell the names differently",
    )
    other = [k for k in weights if not torch.equal(weights[k], again[k])]
    require(
        not other,
        "must draw its initial weights from the generator that it is given",
        f"other weights {other} with other seeds of torch and NumPy",
        "torch.randn(...), which draws from a global generator; write "
        "torch.from_numpy(generator.standard_normal(shape))",
    )


@torch.no_grad()
def _check_stacks(phi: ImageModule, case: _RepresentationCase) -> None:
    sets, shape = case.sets(phi), (_IMAGES, *case.shape)
    cause = (
        "`forward` does not take the images along a first axis of the adapted weights: reshape "
        "weight to (-1, ...) and compute along the later axes"
    )
    with required("must give the image of each set in a stack of weights", cause):
        images = _images(phi, _stacked(phi, sets), case.data())
    require(
        tuple(images.shape) == shape,
        f"must give one image per set of weights, of shape {shape}",
        f"{tuple(images.shape)}",
        cause,
    )
    for i, w in enumerate(sets):
        row = slice(i, i + 1)
        require_close(
            images[row],
            _images(phi, w, case.data(row)),
            1e-9,
            "must return for a stack of weights the image of each set",
            cause,
        )
    condition = phi.condition(sets[0], case.data())
    one = phi(sets[0], condition)
    require(
        tuple(one.shape) in (shape, (1, *case.shape)),
        f"must return for one set of weights one image, or one per measurement, {shape}",
        f"{tuple(one.shape)}",
        cause,
    )
    require_close(
        one.expand(shape),
        phi(_stacked(phi, sets[:1] * _IMAGES), condition),
        1e-9,
        "must return the same images for one set of weights and for a stack of that set",
        cause,
    )


def _check_restricted(phi: ImageModule, case: _RepresentationCase) -> None:
    """Raise an error unless restricted images are right at the pixels that are asked for."""
    w, data = _stacked(phi, case.sets(phi)), case.data()
    condition = phi.condition(w, data)
    whole = phi(w, condition)
    few = uniform(_IMAGES, 1, *case.shape[1:]) < 0.3
    for seen in (few, few[:1], torch.zeros_like(few)):
        images = phi(w, phi.restricted(condition, seen))
        require_close(
            torch.where(seen, images, whole),
            whole,
            1e-9,
            "must compute the pixels in `seen` as without `restricted`",
            "`restricted` or `forward` takes the wrong places",
        )
        require_finite(images, "must give finite images after `restricted`", "uninitialised values")


def _check_derivatives(phi: ImageModule, case: _RepresentationCase) -> None:
    w, data = _stacked(phi, case.sets(phi)), case.data()

    def images(*tensors: torch.Tensor) -> torch.Tensor:
        return _images(phi, dict(zip(w, tensors, strict=True)), data)

    require_derivatives(images, list(w.values()), "the images in the weights")


@torch.no_grad()
def _check_continuous(
    phi: ImageModule, representation: Representation, case: _RepresentationCase
) -> None:
    if not phi.continuous:
        return
    channels, height, width = case.shape
    larger = (channels, 2 * height + 1, 2 * width + 1)
    other = representation.build(larger)
    w = case.weights(phi)
    shapes, other_shapes = (
        {k: v.shape for k, v in weights.items()}
        for weights in (w, other.initial_weights(*generators(0)))
    )
    changed = {k for k, _ in shapes.items() ^ other_shapes.items()}
    cause = "`continuous` is True though weights belong to pixels"
    require(
        not changed,
        f"must have the same weights for images of shape {larger}, as it is continuous",
        f"others for {sorted(changed)}",
        cause,
    )
    images = _images(other, w, _RepresentationCase(case.operator, larger).data(slice(0, 1)))
    require(
        tuple(images.shape[1:]) == larger,
        f"must give images of shape {larger} when it is built for them, as it is continuous",
        f"{tuple(images.shape[1:])}",
        cause,
    )


@torch.no_grad()
def _check_other_types(
    phi: ImageModule, representation: Representation, case: _RepresentationCase, device: str
) -> None:
    w = case.weights(phi)

    def moved(place: torch.device, dtype: torch.dtype) -> tuple[ImageModule, Weights, DataTerm]:
        data = case.operator.build(case.shape).to(place, dtype).bind(case.y.to(place, dtype))
        there = {k: v.to(place, dtype) for k, v in w.items()}
        return representation.build(case.shape).to(place, dtype), there, data

    require_other_types(
        lambda place, dtype: _images(*moved(place, dtype)),
        (1e-3, 1e-6),
        "give images",
        "a tensor that is not a buffer: create it in float64, and call self.register_buffer",
        device,
    )
    if not phi.autocasts:
        return
    single = moved(torch.device("cpu"), torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = _images(*single)
    require(
        images.dtype == torch.float32,
        "must give images in the type of its weights, torch.float32, under torch.autocast",
        str(images.dtype),
        "the last product is returned in bfloat16; add .to(weight.dtype), or autocasts = False",
    )

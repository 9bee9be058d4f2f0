"""The check of representations."""

from __future__ import annotations

import numpy as np
import torch

from skmetainv.operators import DataTerm, GaussianBlur, Operator
from skmetainv.representations import ImageModule, Representation
from skmetainv.testing.derivatives import require_derivatives
from skmetainv.testing.failures import require, require_close, required
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
    name = check_parameter_object(
        representation, Representation, lambda part: case.images_of(part.build(image_shape))
    )
    phi = representation.build(image_shape)
    _check_initial_weights(name, phi)
    _check_stacks(name, phi, case)
    _check_derivatives(name, phi, case)
    _check_continuous(name, phi, representation, case)
    _check_other_types(name, phi, representation, case, device)


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

    def stack(self, phi: ImageModule) -> tuple[list[Weights], Weights]:
        """Return sets of weights and their stack; all have the shared weights of the first set."""
        sets = [self.weights(phi, seed) for seed in range(_IMAGES)]
        together = sets[0] | {k: torch.stack([w[k] for w in sets]) for k in phi.adapted}
        return [sets[0] | {k: w[k] for k in phi.adapted} for w in sets], together

    def images_of(self, phi: ImageModule) -> torch.Tensor:
        """Return the images of one set of weights, conditioned on the measurements."""
        w = self.weights(phi)
        return phi(w, phi.condition(w, self.data()))


def _check_initial_weights(name: str, phi: ImageModule) -> None:
    weights = phi.initial_weights(*generators(0))
    types = {k: v.dtype for k, v in weights.items() if v.dtype != torch.float64}
    require(
        not types,
        name,
        "must begin with weights in torch.float64",
        str(types),
        "torch.zeros(...) without dtype=torch.float64",
    )
    missing = [k for k in phi.adapted if k not in weights]
    require(
        not missing,
        name,
        f"must have initial weights of all names in `adapted`, {list(phi.adapted)}",
        f"none for {missing} but {list(weights)}",
        "`adapted` and `initial_weights` spell the names differently",
    )
    drawn = []
    for seed in (0, 1):
        with global_seed(seed):
            drawn.append(phi.initial_weights(*generators(0)))
    other = [k for k in weights if not torch.equal(drawn[0][k], drawn[1][k])]
    require(
        not other,
        name,
        "must draw its initial weights from the generator that it is given",
        f"other weights {other} with other seeds of torch and NumPy",
        "torch.randn(...), which draws from a global generator; write "
        "torch.from_numpy(generator.standard_normal(shape))",
    )


@torch.no_grad()
def _check_stacks(name: str, phi: ImageModule, case: _RepresentationCase) -> None:
    sets, together = case.stack(phi)
    cause = (
        "`forward` does not take the images along a first axis of the adapted weights: reshape "
        "weight to (-1, ...) and compute along the later axes"
    )
    errors = (RuntimeError, ValueError, IndexError)
    shape = (_IMAGES, *case.shape)
    with required(name, "must give the image of each set in a stack of weights", cause, errors):
        images = phi(together, phi.condition(together, case.data()))
    require(
        tuple(images.shape) == shape,
        name,
        f"must give one image per set of weights, of shape {shape}",
        f"{tuple(images.shape)}",
        cause,
    )
    for i, w in enumerate(sets):
        alone = phi(w, phi.condition(w, case.data(slice(i, i + 1))))
        require_close(
            images[i : i + 1],
            alone,
            1e-9,
            name,
            "must return for a stack of weights the image of each set",
            cause,
        )
    condition = phi.condition(sets[0], case.data())
    one = phi(sets[0], condition)
    require(
        tuple(one.shape) in (shape, (1, *case.shape)),
        name,
        f"must return for one set of weights one image, or one per measurement, {shape}",
        f"{tuple(one.shape)}",
        cause,
    )
    same = sets[0] | {k: torch.stack([sets[0][k]] * _IMAGES) for k in phi.adapted}
    require_close(
        one.expand(shape),
        phi(same, condition),
        1e-9,
        name,
        "must return the same images for one set of weights and for a stack of that set",
        cause,
    )


def _check_derivatives(name: str, phi: ImageModule, case: _RepresentationCase) -> None:
    _, w = case.stack(phi)
    data = case.data()

    def images(*tensors: torch.Tensor) -> torch.Tensor:
        weights = dict(zip(w, tensors, strict=True))
        return phi(weights, phi.condition(weights, data))

    require_derivatives(images, list(w.values()), name, "the images in the weights")


@torch.no_grad()
def _check_continuous(
    name: str, phi: ImageModule, representation: Representation, case: _RepresentationCase
) -> None:
    if not phi.continuous:
        return
    channels, height, width = case.shape
    larger = (channels, 2 * height + 1, 2 * width + 1)
    other = representation.build(larger)
    w, shapes = case.weights(phi), other.initial_weights(*generators(0))
    changed = [
        k for k in {*w, *shapes} if k not in w or k not in shapes or w[k].shape != shapes[k].shape
    ]
    cause = "`continuous` is True though weights belong to pixels"
    require(
        not changed,
        name,
        f"must have the same weights for images of shape {larger}, as it is continuous",
        f"others for {sorted(changed)}",
        cause,
    )
    data = _RepresentationCase(case.operator, larger).data(slice(0, 1))
    images = other(w, other.condition(w, data))
    require(
        tuple(images.shape[1:]) == larger,
        name,
        f"must give images of shape {larger} when it is built for them, as it is continuous",
        f"{tuple(images.shape[1:])}",
        cause,
    )


@torch.no_grad()
def _check_other_types(
    name: str,
    phi: ImageModule,
    representation: Representation,
    case: _RepresentationCase,
    device: str,
) -> None:
    w = case.weights(phi)

    def compute(place: torch.device, dtype: torch.dtype) -> torch.Tensor:
        phi = representation.build(case.shape).to(place, dtype)
        A = case.operator.build(case.shape).to(place, dtype)
        there = {k: v.to(place, dtype) for k, v in w.items()}
        return phi(there, phi.condition(there, A.bind(case.y.to(place, dtype))))

    require_other_types(
        compute,
        phi(w, phi.condition(w, case.data())),
        (1e-3, 1e-6),
        name,
        "give images",
        "a tensor that is not a buffer: create it in float64, and call self.register_buffer",
        device,
    )
    if not phi.autocasts:
        return
    single = representation.build(case.shape).to(torch.float32)
    w = {k: v.float() for k, v in w.items()}
    data = case.operator.build(case.shape).to(torch.float32).bind(case.y.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        images = single(w, single.condition(w, data))
    require(
        images.dtype == torch.float32,
        name,
        "must give images in the type of its weights, torch.float32, under torch.autocast",
        str(images.dtype),
        "the last product is returned in bfloat16; add .to(weight.dtype), or autocasts = False",
    )

"""Every property of the checks has an object that lacks it, on which the check must fail."""

import itertools
import math
import re

import numpy as np
import pytest
import torch

from skmetainv.denoisers import Denoiser, DenoiserModule
from skmetainv.losses import L2, Loss
from skmetainv.noise import Noise
from skmetainv.operators import Blur, ForwardMap, LinearMap, Operator
from skmetainv.operators.maps.data_terms import LinearDataTerm
from skmetainv.representations import ImageModule, Representation
from skmetainv.solvers import IterativeSolver, Solver
from skmetainv.testing import (
    PropertyError,
    check_denoiser,
    check_loss,
    check_noise,
    check_operator,
    check_representation,
    check_solver,
)

COUNT = itertools.count()


def refuses(check, broken, sentence, **options):
    """Require that a check fails, and that its error has the property, numbers and a cause."""
    with pytest.raises(PropertyError, match=re.escape(sentence)) as refused:
        check(broken, **options)
    text = str(refused.value)
    assert re.match(r"(?s)\w+ must .*\. Got .+ instead\. Likely cause: .+\.$", text), text
    assert text.startswith(type(broken).__name__)


def plus_count(self, x):
    return x + next(COUNT)


# ------------------------------------------------------------------ parameter objects


class Changed(Noise):
    """A noise; each test replaces one of its methods by a wrong one."""

    level: float = 0.1

    def build(self):
        return lambda y, generators: self.level * y


class Kept(Changed):
    def build(self):
        self.gain_ = self.level
        return super().build()


class Drawn(Changed):
    def build(self):
        gain = torch.rand(())
        return lambda y, generators: gain * y


class Rounded(Changed):
    def __init__(self, level=0.13):
        self.level = round(level, 1)


class Numbered(Changed):
    def __repr__(self, N_CHAR_MAX=700):
        return f"Numbered({id(self)})"


class Fixed(Changed):
    def __init__(self, level=0.1):
        self._level = level

    @property
    def level(self):
        return self._level


class Deaf(Changed):
    def set_params(self, **params):
        self.level = 0.2
        return self


class Saved(Changed):
    def __getstate__(self):
        return {"level": 0.3}


class WithFunction(Changed):
    function: object = None


class Single(Changed):
    def build(self):
        return lambda y, generators: torch.nn.functional.linear(y, torch.eye(5))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (Kept(), "must stay as it is when it is built. Got the changed attributes ['gain_']"),
        (Drawn(), "must give the same bits each time that it is built"),
        (Rounded(), "must be copied by sklearn.base.clone. Got RuntimeError (Cannot clone"),
        (Numbered(), "must look the same when cloned. Got Numbered("),
        (Fixed(), "must accept its own parameters in set_params. Got AttributeError"),
        (Deaf(), "must keep the values that set_params sets. Got other values of ['level']"),
        (Saved(), "must compute the same after it was pickled. Got results that differ by up to"),
        (WithFunction(function=lambda y: y), "must be pickled. Got PicklingError"),
        (Single(), "must compute in torch.float64 on the CPU, where it is built. Got RuntimeError"),
    ],
)
def test_parameter_objects(broken, sentence):
    refuses(check_noise, broken, sentence)


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (check_operator, "Operator"),
        (check_solver, "Solver"),
        (check_denoiser, "Denoiser"),
        (check_representation, "Representation"),
        (check_loss, "Loss"),
        (check_noise, "Noise"),
    ],
)
def test_objects_of_another_kind(check, kind):
    other = Changed() if kind != "Noise" else L2()
    with pytest.raises(TypeError, match=f"must be an instance of {kind}. Got {other!r}"):
        check(other)


def unfinished(kind, module, **options):
    """An object of a kind of parts, whose `build` returns a module that lacks a method."""
    return type("Unfinished", (kind,), {"build": lambda self, *_: module})(**options)


class WithoutForward(ImageModule):
    adapted = ("image",)

    def initial_weights(self, generator):
        return {"image": torch.zeros(3, 4, dtype=torch.float64)}


@pytest.mark.parametrize(
    ("check", "broken", "missing"),
    [
        (check_operator, Operator(), "Operator does not define build"),
        (check_solver, Solver(n_iter=1), "Solver does not define build"),
        (check_denoiser, Denoiser(), "Denoiser does not define build"),
        (check_representation, Representation(), "Representation does not define build"),
        (check_loss, Loss(), "Loss does not define build"),
        (check_noise, Noise(), "Noise does not define build"),
        (
            check_operator,
            unfinished(Operator, ForwardMap((1, 3, 4), (1, 3, 4))),
            "ForwardMap does not define forward",
        ),
        (
            check_solver,
            unfinished(Solver, IterativeSolver(1), n_iter=1),
            "IterativeSolver does not define step",
        ),
        (
            check_denoiser,
            unfinished(Denoiser, DenoiserModule()),
            "DenoiserModule does not define forward",
        ),
        (
            check_representation,
            unfinished(Representation, WithoutForward()),
            "WithoutForward does not define forward",
        ),
    ],
)
def test_missing_methods(check, broken, missing):
    property_ = "must have all methods that its base class does not define"
    refuses(check, broken, f"{property_}. Got NotImplementedError ({missing}) instead")


# ------------------------------------------------------------------ operators


def operator(kind=LinearMap, observed=None, missing=False, **methods):
    """An operator whose map has the given methods."""
    broken = type("BrokenMap", (kind,), {"forward": lambda self, x: 2 * x, **methods})

    class Broken(Operator):
        has_missing = missing

        def build(self, image_shape):
            mask = None
            if observed is not None:
                mask = torch.ones(1, *image_shape, dtype=torch.bool)
                mask[..., 0] = False
            return broken(image_shape, image_shape, mask)

    return Broken()


class OwnData(LinearDataTerm):
    def gradient(self, x):
        return 1.01 * super().gradient(x)


class OwnScale(LinearDataTerm):
    squared_norm = 3.0


class OwnStart(LinearDataTerm):
    def start(self, kind):
        return super().start(kind) + (kind == "zeros")


class OwnProx(LinearDataTerm):
    def prox(self, z, rho):
        return (self.adjoint_y + rho * z) / (4.01 + rho)


class Once(torch.autograd.Function):
    """``2 x``, without a second derivative."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, v):
        return 2 * v


class Wrong(torch.autograd.Function):
    """The square of x, with a wrong derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, v):
        (x,) = ctx.saved_tensors
        return 2.1 * x * v


def stray(self, image_shape, measurement_shape, observed=None):
    LinearMap.__init__(self, image_shape, measurement_shape, observed)
    self.gain = torch.tensor(2.0, dtype=torch.float64)


def observed_first_column(self, generators):
    return type(self)(self.image_shape, self.measurement_shape, self.mask())


class Kinked(LinearDataTerm):
    def prox(self, z, rho):
        return super().prox(z, rho) + 0 * z.abs().sqrt()


class OfPairs(LinearDataTerm):
    def prox(self, z, rho):
        return super().prox(z, rho) * (1 if len(z) == 2 else 1.01)


def first_column(self):
    mask = torch.ones(1, *self.image_shape, dtype=torch.bool)
    mask[..., 0] = False
    return mask


def masked(self, x):
    return 2 * x if self.observed is None else torch.where(self.observed, 2 * x, 0.0)


MASKED = {
    "forward": masked,
    "mask": first_column,
    "draw": observed_first_column,
    "missing_value": math.nan,
}
DOUBLE = torch.tensor(2.0, dtype=torch.float64)
EYE1, EYE, EYE4, EYE6 = (torch.eye(n, dtype=torch.float64) for n in (1, 3, 4, 6))


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (operator(forward=lambda self, x: (2 * x).float()), "in their type, torch.float64"),
        (
            operator(forward=lambda self, x: 2 * x.sum(0, keepdim=True)),
            "must measure a batch of 2 images in their type",
        ),
        (operator(forward=lambda self, x: x / 0), "must give finite measurements"),
        (operator(forward=lambda self, x: x.mul_(1.0).add_(1.0)), "must leave the images"),
        (operator(forward=lambda self, x: x + 1), "must be linear, A(2.5 x - z)"),
        (operator(forward=lambda self, x: x.abs()), "must be linear, A(2.5 x - z)"),
        (operator(adjoint=lambda self, y: 2.001 * y), "<A x, v> = <x, A' v>"),
        (
            operator(forward=lambda s, x: x.roll(1, -1), adjoint=lambda s, y: y.roll(1, -1)),
            "<A x, v> = <x, A' v>",
        ),
        (operator(normal=lambda self, x: 2 * x), "must have normal(x) = A' A x"),
        (operator(vjp=lambda self, x, v: 4 * v), "must have vjp(x, A x) = A' A x"),
        (operator(norm=lambda self: DOUBLE + 0.001), "must have the norm ||A|| = 2,"),
        (
            operator(pseudo_inverse=lambda self, y, rcond=1e-6: 0.501 * y),
            "must have the pseudo-inverse of its matrix",
        ),
        (
            operator(data_term=lambda self, y: OwnData(self, y)),
            "must have the gradient of the data fidelity",
        ),
        (
            operator(data_term=lambda self, y: OwnScale(self, y)),
            "must have the scale ||A||^2 = 4 of the map",
        ),
        (operator(data_term=lambda self, y: OwnStart(self, y)), "must have the start 'zeros'"),
        (
            operator(data_term=lambda self, y: OwnProx(self, y)),
            "must have the proximal step that solves",
        ),
        (
            operator(forward=lambda self, x: 2 * x.detach(), adjoint=lambda self, y: 2 * y),
            "must have exact first derivatives of the proximal step",
        ),
        (
            operator(forward=lambda self, x: Once.apply(x), adjoint=lambda self, y: Once.apply(y)),
            "must have exact second derivatives of the proximal step",
        ),
        (
            operator(forward=lambda self, x: x - x.mean(0, keepdim=True) / 2),
            "must measure each image of a batch as it would alone",
        ),
        (
            operator(forward=lambda self, x: x.abs().sqrt(), kind=ForwardMap),
            "must have a finite value of the gradient of the data fidelity on constant images",
        ),
        (
            operator(forward=lambda self, x: Wrong.apply(x), kind=ForwardMap),
            "must have the vector-Jacobian product <vjp(x, v), h>",
        ),
        (
            operator(
                kind=ForwardMap,
                forward=lambda self, x: x.square(),
                vjp=lambda self, x, v: 2 * x.detach() * v,
            ),
            "must have exact first derivatives of the gradient of the data fidelity",
        ),
        (
            operator(data_term=lambda self, y: Kinked(self, y)),
            "must have a finite first derivative of the proximal step at the solution",
        ),
        (
            operator(data_term=lambda self, y: OfPairs(self, y)),
            "must restore each image of a batch as it would alone",
        ),
        (
            operator(
                kind=ForwardMap,
                forward=lambda self, x: x.square(),
                vjp=lambda self, x, v: 2 * x * v + v.mean(0, keepdim=True),
            ),
            "must differentiate each image of a batch as it would alone",
        ),
        (operator(**MASKED), "must have has_missing=True"),
        (
            operator(**MASKED, missing=True),
            "must be read back from the NaN of a measurement",
        ),
        (
            operator(observed=True, forward=masked, simulate=lambda self, x, noise, g: self(x) + 1),
            "must simulate A(x) where it is observed",
        ),
        (operator(observed=True), "must give 0 where it does not observe"),
        (
            operator(observed=True, forward=masked, seen_pixels=lambda self: self.observed[0, 0]),
            "must return booleans of shape (1 or 2, 1, height, width) from seen_pixels()",
        ),
        (
            operator(observed=True, forward=masked, seen_pixels=lambda self: 1.0 * self.observed),
            "must return booleans of shape (1 or 2, 1, height, width) from seen_pixels()",
        ),
        (
            operator(observed=True, forward=masked, seen_pixels=lambda self: ~self.observed),
            "must not depend on pixels outside of seen_pixels()",
        ),
        (
            operator(__init__=stray, forward=lambda self, x: self.gain * x),
            "must measure in single precision. Got TypeError (The tensor 'gain' of BrokenMap",
        ),
        (
            operator(forward=lambda self, x: DOUBLE.reshape(1, 1) * x, adjoint=lambda s, y: 2 * y),
            "must measure in the type of its input, torch.float32",
        ),
        (
            operator(
                forward=lambda self, x: x * (2 if x.dtype == torch.float64 else 2.001),
                adjoint=lambda self, y: 2 * y,
            ),
            "must agree in single and double precision",
        ),
    ],
)
def test_operators(broken, sentence):
    refuses(check_operator, broken, sentence, image_shape=(1, 2, 3))


def test_an_adjoint_of_another_shape():
    """It raises an error at its first use, also outside the checks."""
    broken = operator(adjoint=lambda self, y: 2 * y[:, :, 1:])
    refuses(check_operator, broken, "must have an adjoint that gives images, of shape (2, 1, 3, 4)")
    with pytest.raises(ValueError, match=r"adjoint must return images of shape \(batch, 1, 3, 4\)"):
        broken.build((1, 3, 4)).bind(torch.ones(2, 1, 3, 4))


def test_operators_that_draw_for_the_whole_batch():
    class Draws(LinearMap):
        gain = 1.0

        def draw(self, generators):
            drawn = Draws(self.image_shape, self.measurement_shape)
            drawn.gain = float(generators[0].random())
            return drawn

        def forward(self, x):
            return self.gain * x

    class Random(Operator):
        def build(self, image_shape):
            return Draws(image_shape, image_shape)

    refuses(check_operator, Random(), "each image of a batch as it would alone, with its own gen")


# ------------------------------------------------------------------ solvers


def solver(n_iter=2, scales=None, check=None, learnable=False, **methods):
    """A solver whose updates have the given methods."""
    own = {"scales": scales, "check": check}
    methods |= {name: method for name, method in own.items() if method is not None}
    broken = type("BrokenUpdates", (IterativeSolver,), {"step": descent, **methods})

    class Broken(Solver):
        n_iter: int = 2

        def build(self, image_shape):
            return broken(self.n_iter)

    return Broken(n_iter=n_iter)


def descent(self, state, data, k):
    return (state[0] - 0.5 * data.gradient(state[0]), *state[1:])


def normalized(self, state, data, k):
    gradient = data.gradient(state[0])
    return (state[0] - gradient / gradient.norm(),)


def remembered(self, state, data, k):
    self.last = getattr(self, "last", 0.0) + 1.0
    return (state[0] / self.last,)


def in_place(self, state, data, k):
    return (state[0].sub_(0.5 * data.gradient(state[0])),)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (solver(step=in_place), "must leave the start as it is"),
        (solver(step=lambda s, x, d, k: (x[0] / 0,)), "must give finite images"),
        (solver(step=normalized), "must solve for each image of a batch as it would alone"),
        (
            solver(init=lambda self, x, data: (x, x.new_zeros(1))),
            "must have one row per image in every entry of its state, 2. Got [2, 1] rows",
        ),
        (solver(scales=lambda self, k, data: None), "must have a tuple of `scales`"),
        (solver(check=lambda self, A: True), "must have a tuple of `scales` and warn by `check`"),
        (
            solver(step=remembered, forward=lambda self, x, data: x),
            "must return the same by run(..., max_iter=n_iter) as by f(x, data)",
        ),
        (
            solver(run=lambda self, x, data, max_iter: IterativeSolver.run(self, x, data, 2, 1e9)),
            "must make n_iter=1 updates if there is no tolerance",
        ),
        (
            solver(step=lambda s, x, d, k: (x[0].detach() - d.gradient(x[0].detach()),)),
            "must have exact first derivatives of the result in start and measurement",
        ),
        (
            solver(step=lambda s, x, d, k: (Once.apply(x[0]),)),
            "must have exact second derivatives of the result",
        ),
        (
            solver(step=lambda s, x, d, k: (x[0] * x[0].square().sum((1, 2, 3), True).sqrt(),)),
            "at the solution and on constant images",
        ),
        (
            solver(step=lambda s, x, d, k: (torch.nn.functional.linear(x[0], EYE),)),
            "must solve in single precision",
        ),
        (
            solver(step=lambda s, x, d, k: (x[0] * (2 if x[0].dtype == torch.float64 else 2.1),)),
            "must agree in single and double precision",
        ),
        (
            solver(forward=lambda self, x, data: IterativeSolver.forward(self, x, data).double()),
            "must solve in the type of its input, torch.float32",
        ),
    ],
)
def test_solvers(broken, sentence):
    if "n_iter=1" in sentence:
        broken.set_params(n_iter=1)
    refuses(check_solver, broken, sentence, image_shape=(1, 2, 3))


def test_numbers_that_are_learnable_have_derivatives():
    class Detached(IterativeSolver):
        def __init__(self, n_iter, step_size):
            super().__init__(n_iter)
            self.step_size = step_size

        def step(self, state, data, k):
            step = self.step_size(k, data)
            step = step.item() if isinstance(step, torch.Tensor) else step
            return (state[0] - step * data.gradient(state[0]),)

    class Fixed(Solver):
        n_iter: int = 2
        step_size: float = 0.5
        learnable: tuple = ()
        number_names = ("step_size",)

        def build(self, image_shape):
            return Detached(self.n_iter, **self.build_schedules())

    refuses(check_solver, Fixed(), "in start and measurement, and in step_size.logarithm")
    check_solver(Fixed(), differentiable=False)


# ------------------------------------------------------------------ denoisers


def denoiser(function, takes=True, level=0.05):
    """A denoiser by a function of image and noise level."""

    class BrokenModule(DenoiserModule):
        takes_noise_level = takes

        def forward(self, x, noise_level=None):
            return function(x, level if noise_level is None else noise_level)

    class Broken(Denoiser):
        noise_level: float = 0.05

        def build(self, image_shape):
            return BrokenModule()

    return Broken()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (denoiser(lambda x, level: x.mul_(0.5) * level), "must leave the images as they are"),
        (denoiser(lambda x, level: (level * x).float()), "must give finite images in their type"),
        (denoiser(lambda x, level: level * x / 0), "must give finite images in their type"),
        (
            denoiser(lambda x, level: level * (x - x.mean())),
            "must denoise each image of a batch as it would alone",
        ),
        (
            denoiser(lambda x, level: 0.5 * x),
            "must depend on the noise level that it is called with",
        ),
        (
            denoiser(lambda x, level: level * x, takes=False),
            "or have takes_noise_level = False. Got a change of 0.18",
        ),
        (
            denoiser(lambda x, level: float(level) * x),
            "must take a noise level for each image. Got",
        ),
        (
            denoiser(lambda x, level: torch.as_tensor(level).mean() * x),
            "must take a noise level for each image. Got a difference",
        ),
        (
            denoiser(lambda x, level: (level if getattr(level, "ndim", 1) else 0.1) * x),
            "must take a noise level as a tensor",
        ),
        (
            denoiser(lambda x, level: level * x, level=0.06),
            "must use its own noise level, 0.05, if it is called without one",
        ),
        (denoiser(lambda x, level: level * x.detach()), "must have exact first derivatives"),
        (denoiser(lambda x, level: level * Once.apply(x)), "must have exact second derivatives"),
        (
            denoiser(lambda x, level: 0.5 * x.detach(), takes=False),
            "must have exact first derivatives of the denoised image in the image.",
        ),
        (
            denoiser(lambda x, level: level * x / (x - 0.5).square().sum((1, 2, 3), True).sqrt()),
            "on constant images",
        ),
        (
            denoiser(lambda x, level: torch.nn.functional.linear(x, EYE6) * level),
            "must denoise in single precision",
        ),
        (
            denoiser(lambda x, level: (level * x).double()),
            "in the type of its input, torch.float32",
        ),
        (
            denoiser(lambda x, level: level * x * (1 if x.dtype == torch.float64 else 1.1)),
            "must agree in single and double precision",
        ),
    ],
)
def test_denoisers(broken, sentence):
    refuses(check_denoiser, broken, sentence)


def test_a_denoiser_without_derivative_passes_on_request():
    check_denoiser(denoiser(lambda x, level: level * x.detach()), differentiable=False)


# ------------------------------------------------------------------ representations


def representation(**methods):
    """A grid of pixels whose module has the given methods."""
    own = {"adapted": ("image",), "initial_weights": zeros, "forward": pixels, "shape": (1, 3, 4)}

    class Broken(Representation):
        def build(self, image_shape, data_range=(0.0, 1.0)):
            return type("BrokenImage", (ImageModule,), {**own, **methods})()

    return Broken()


def zeros(self, generator):
    return {"image": torch.zeros(self.shape, dtype=torch.float64)}


def pixels(self, weights, condition=None):
    return weights["image"].reshape(-1, *self.shape)


def at_seen(self, weights, condition=None, others=0.0):
    images = pixels(self, weights)
    return images if condition is None else torch.where(condition, images, others)


def nan_elsewhere(self, weights, condition=None):
    return at_seen(self, weights, condition, math.nan)


def product(self, weights, condition=None):
    return weights["image"].reshape(-1, *self.shape) @ torch.eye(4).to(weights["image"].dtype)


def globally(self, generator):
    return {"image": torch.rand(self.shape, dtype=torch.float64)}


def again(self, generator):
    with torch.random.fork_rng(devices=[]):
        return {"image": torch.from_numpy(np.random.rand(*self.shape))}


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (
            representation(initial_weights=lambda self, g: {"image": torch.zeros(self.shape)}),
            "must begin with weights in torch.float64. Got {'image': torch.float32}",
        ),
        (representation(adapted=("pixels",)), "must have initial weights of all names in `adapted"),
        (
            representation(forward=lambda self, w, c=None: w["image"].reshape(1, *self.shape)),
            "must give the image of each set in a stack of weights. Got RuntimeError",
        ),
        (
            representation(forward=lambda self, w, c=None: pixels(self, w)[:1]),
            "must give one image per set of weights, of shape (3, 1, 3, 4). Got (1, 1, 3, 4)",
        ),
        (
            representation(forward=lambda self, w, c=None: pixels(self, w).flip(0)),
            "must return for a stack of weights the image of each set",
        ),
        (
            representation(
                forward=lambda self, w, c=None: pixels(self, w).expand(
                    max(2, len(pixels(self, w))), -1, -1, -1
                )
            ),
            "must return for a stack of weights the image of each set",
        ),
        (
            representation(
                condition=lambda self, w, data: len(data.y),
                forward=lambda self, w, c=None: pixels(self, w).expand(
                    2 if w["image"].ndim == 3 and c == 3 else -1, -1, -1, -1
                ),
            ),
            "must return for one set of weights one image, or one per measurement",
        ),
        (
            representation(
                condition=lambda self, w, data: len(data.y),
                forward=lambda self, w, c=None: pixels(self, w) + (c == 3 and w["image"].ndim == 3),
            ),
            "must return the same images for one set of weights and for a stack of that set",
        ),
        (
            representation(forward=lambda self, w, c=None: pixels(self, w).detach()),
            "must have exact first derivatives of the images in the weights",
        ),
        (
            representation(forward=lambda self, w, c=None: Once.apply(pixels(self, w))),
            "must have exact second derivatives of the images in the weights",
        ),
        (
            representation(forward=lambda self, w, c=None: pixels(self, w).double()),
            "must give images in the type of its input, torch.float32. Got torch.float64",
        ),
        (
            representation(
                forward=lambda self, w, c=None: (
                    pixels(self, w) * (2 if w["image"].dtype == torch.float64 else 2.1)
                )
            ),
            "must agree in single and double precision",
        ),
        (
            representation(
                forward=lambda self, w, c=None: torch.nn.functional.linear(pixels(self, w), EYE4)
            ),
            "must give images in single precision. Got RuntimeError",
        ),
        (
            representation(forward=at_seen, restricted=lambda self, c, seen: seen.roll(1, -1)),
            "must compute the pixels in `seen` as without `restricted`",
        ),
        (
            representation(forward=at_seen, restricted=lambda self, c, seen: ~seen),
            "must compute the pixels in `seen` as without `restricted`",
        ),
        (
            representation(forward=nan_elsewhere, restricted=lambda self, c, seen: seen),
            "must give finite images after `restricted`",
        ),
        (representation(forward=product), "in the type of its weights, torch.float32, under torch"),
        (
            representation(continuous=True),
            "must give images of shape (1, 7, 9) when it is built for them",
        ),
    ],
)
def test_representations(broken, sentence):
    refuses(check_representation, broken, sentence)


def test_a_representation_that_draws_globally():
    """Global seeds make its weights equal each time, but the check changes these seeds."""

    def build_with(initial_weights):
        broken = representation(initial_weights=initial_weights)
        torch.manual_seed(0)
        np.random.seed(0)
        return broken

    for initial in (globally, again):
        with pytest.raises(PropertyError, match=r"same bits|from the generator that it is given"):
            check_representation(build_with(initial))

    class Seeded(ImageModule):
        adapted = ("image",)

        def initial_weights(self, generator):
            seed = torch.initial_seed()
            values = np.random.default_rng(seed).random((1, 3, 4))
            return {"image": torch.from_numpy(values)}

        def forward(self, weights, condition=None):
            return weights["image"].reshape(-1, 1, 3, 4)

    class OfTheSeed(Representation):
        def build(self, image_shape, data_range=(0.0, 1.0)):
            return Seeded()

    refuses(check_representation, OfTheSeed(), "must draw its initial weights from the generator")


def test_a_continuous_representation_with_weights_per_pixel():
    class Grid(Representation):
        def build(self, image_shape, data_range=(0.0, 1.0)):
            members = {
                "adapted": ("image",),
                "continuous": True,
                "shape": image_shape,
                "initial_weights": zeros,
                "forward": pixels,
            }
            return type("GridImage", (ImageModule,), members)()

    sentence = "must have the same weights for images of shape (1, 7, 9), as it is continuous"
    refuses(check_representation, Grid(), sentence)


# ------------------------------------------------------------------ losses


def loss(function):
    """A loss by a function of image, target and mask, without units."""

    class Broken(Loss):
        def build(self, data_range=(0.0, 1.0)):
            width = data_range[1] - data_range[0]
            return lambda x, target, observed=None: function(x / width, target / width, observed)

    return Broken()


def squared(x, target, observed=None):
    difference = x - target
    if observed is not None:
        difference = torch.where(observed, difference, 0.0)
    return difference.square().flatten(1).mean(1)


class Unitless(Loss):
    def build(self, data_range=(0.0, 1.0)):
        return squared


class InPlace(Loss):
    def build(self, data_range=(0.0, 1.0)):
        return lambda x, target, observed=None: squared(x.sub_(0.1), target, observed)


def multiplied(x, target, observed=None):
    observed = 1.0 if observed is None else observed
    return ((x - target) * observed).square().flatten(1).mean(1)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (InPlace(), "must leave the images as they are"),
        (loss(lambda x, t, o: squared(x, t, o) / 0), "must be finite. Got"),
        (
            loss(lambda x, t, o: squared(x, t, o) + squared(x, t, o).mean()),
            "must give each image of a batch the value that it has alone",
        ),
        (
            loss(lambda x, t, o: squared(x, t, o) * (1 if o is None else 2)),
            "must be the loss over all entries, if all are observed",
        ),
        (loss(multiplied), "must be finite where unobserved entries are NaN"),
        (
            loss(lambda x, t, o: nan_of_root(x, t, torch.tensor(True) if o is None else o)),
            "must have a finite gradient where unobserved entries are NaN",
        ),
        (
            loss(lambda x, t, o: seen(x, t, o)),
            "must not depend on the target where it is not observed",
        ),
        (
            loss(lambda x, t, o: squared(x, t, o) + (o is not None and not o.any())),
            "must be 0 where nothing is observed. Got [1.0, 1.0, 1.0]",
        ),
        (
            loss(lambda x, t, o: squared(x.detach(), t, o) + 0 * squared(x, t, o)),
            "must have exact first derivatives of the loss in the image",
        ),
        (
            loss(lambda x, t, o: squared(Once.apply(x), 2 * t, o)),
            "must have exact second derivatives of the loss in the image",
        ),
        (
            loss(lambda x, t, o: squared(x, t, o).sqrt()),
            "must have a finite first derivative where images agree",
        ),
        (Unitless(), "must have the same value in the units of data_range=(-50.0, 205.0)"),
        (
            loss(lambda x, t, o: torch.nn.functional.linear(squared(x, t, o)[:, None], EYE1)[:, 0]),
            "must compare images in single precision",
        ),
        (
            loss(lambda x, t, o: squared(x, t, o).double()),
            "must compare images in the type of its input, torch.float32",
        ),
        (
            loss(lambda x, t, o: squared(x, t, o) * (1 if x.dtype == torch.float64 else 1.1)),
            "must agree in single and double precision",
        ),
    ],
)
def test_losses(broken, sentence):
    refuses(check_loss, broken, sentence)


def nan_of_root(x, target, observed):
    """A finite loss whose derivative is 0 times infinity at unobserved entries."""
    difference = torch.where(observed, x - target, 0.0 * x)
    return torch.where(observed, difference.abs().sqrt().square(), 0.0).flatten(1).mean(1)


def seen(x, target, observed):
    if observed is None:
        return squared(x, target)
    hidden = torch.where(observed, 0.0, target.nan_to_num(0.0))
    return squared(x, target, observed) + hidden.flatten(1).mean(1) * (1.0 * observed).amax()


def test_a_loss_without_units_passes_on_request():
    check_loss(Unitless(), in_any_units=False)


# ------------------------------------------------------------------ noise


def noise(function):
    """A noise by a function of measurement and generators."""

    class Broken(Noise):
        def build(self):
            return function

    return Broken()


def of_the_first(y, generators):
    e = generators[0].standard_normal(y.shape)
    return y + torch.from_numpy(e).to(y)


def of_the_seed(y, generators):
    return y + torch.initial_seed() % 7


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (noise(lambda y, g: y.mul_(1.0).add_(1e-3)), "must leave the measurements as they are"),
        (noise(of_the_first), "must add to each measurement the noise of its own generator alone"),
        (noise(of_the_seed), "must be drawn from the generators that it is given"),
        (noise(lambda y, g: y + torch.randn_like(y)), "must give the same bits each time"),
    ],
)
def test_noise(broken, sentence):
    refuses(check_noise, broken, sentence)


# ------------------------------------------------------------------ devices


def at_home(x):
    """Return ``1 x``, computed with a tensor that stays on the CPU."""
    return x * torch.ones(x.shape, dtype=x.dtype)


@pytest.mark.parametrize(
    ("check", "broken", "sentence"),
    [
        (check_operator, operator(forward=lambda self, x: at_home(x)), "must measure on meta"),
        (check_solver, solver(step=lambda s, x, d, k: (at_home(x[0]),)), "must solve on meta"),
        (check_denoiser, denoiser(lambda x, level: level * at_home(x)), "must denoise on meta"),
        (
            check_representation,
            representation(forward=lambda self, w, c=None: at_home(pixels(self, w))),
            "must give images on meta",
        ),
        (check_loss, loss(lambda x, t, o: squared(at_home(x), t, o)), "must compare images on met"),
        (check_noise, noise(lambda y, g: at_home(y)), "must take measurements on meta"),
    ],
)
def test_tensors_that_stay_on_the_cpu(check, broken, sentence):
    refuses(check, broken, sentence, device="meta")
    check(broken, device="cpu")


# ------------------------------------------------------------------ numbers in the error


def test_numbers_are_those_of_the_property():
    with pytest.raises(PropertyError) as refused:
        check_operator(operator(adjoint=lambda self, y: 2.5 * y))
    left, right = re.search(r"Got (\S+) and (\S+), for", str(refused.value)).groups()
    assert float(right) == pytest.approx(1.25 * float(left))


def test_checks_leave_global_generators():
    torch.manual_seed(0)
    np.random.seed(0)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    check_operator(Blur(np.ones((2, 2))))
    check_noise(Changed())
    check_loss(L2())
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])

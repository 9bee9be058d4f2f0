"""Typical mistakes in subclasses: our errors come where the mistake is made or first used."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from skmetainv import ClassicalReconstructor, MetaInverseSolver
from skmetainv.denoisers import Denoiser, DenoiserModule
from skmetainv.losses import Loss
from skmetainv.noise import Noise
from skmetainv.operators import ForwardMap, GaussianBlur, Identity, LinearMap, Operator
from skmetainv.parameters import ParameterObject
from skmetainv.representations import ImageModule, ModuleRepresentation, Representation
from skmetainv.solvers import HQS, IterativeSolver, Solver

X = np.random.default_rng(0).random((3, 6, 6))
SHAPE = (1, 6, 6)


def building(kind, result):
    """An object whose `build` returns `result`, or an instance of it."""

    class Mine(kind):
        n_iter: int = 1

        def build(self, *args, **kwargs):
            return result() if isinstance(result, type) else result

    return Mine()


def operator(forward, kind=LinearMap, measurement_shape=SHAPE, **methods):
    """An operator whose map has the given methods."""
    own = type("MyMap", (kind,), {"forward": forward, **methods})
    return building(Operator, own(SHAPE, measurement_shape))


# ------------------------------------------------------------------ what `build` returns


@pytest.mark.parametrize(
    ("kind", "result", "message"),
    [
        (
            Operator,
            np.sin,
            r"Mine.build must return an instance of ForwardMap. Got <ufunc 'sin'> .*LinearMap",
        ),
        (Operator, None, "Mine.build must return an instance of ForwardMap. Got None instead"),
        (
            Operator,
            torch.nn.Identity(),
            "Mine.build must return an instance of ForwardMap. Got Identity()",
        ),
        (Solver, np.sin, r"must return an instance of IterativeSolver.*step\(state, data, k\)"),
        (Denoiser, np.sin, r"must return an instance of DenoiserModule.*forward\(x, noise_level\)"),
        (Representation, np.sin, "must return an instance of ImageModule.*initial_weights"),
        (Loss, 3.0, r"must return a function criterion\(x, target, observed=None\). Got 3.0"),
        (Noise, None, r"must return a function noisy\(y, generators\). Got None"),
    ],
)
def test_another_kind_of_object(kind, result, message):
    with pytest.raises(TypeError, match=message):
        building(kind, result).build(*(() if kind in (Loss, Noise) else (SHAPE,)))


def test_it_is_said_wherever_build_is_called():
    mine = building(Operator, np.sin)
    for use in (
        lambda: ClassicalReconstructor(mine).fit(X),
        lambda: (GaussianBlur() @ mine).build(SHAPE),
        lambda: (2.0 * mine).build(SHAPE),
    ):
        with pytest.raises(TypeError, match=r"Mine.build must return an instance of ForwardMap"):
            use()


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        (Operator, ForwardMap),
        (Solver, IterativeSolver),
        (Denoiser, DenoiserModule),
        (Representation, ImageModule),
    ],
)
def test_a_constructor_that_forgets_that_of_its_base_class(kind, module):
    class Forgetful(module):
        def __init__(self):
            self.n = 1

    message = (
        rf"constructor of Forgetful.* must first call super\(\).__init__.*of {module.__name__}"
    )
    with pytest.raises(TypeError, match=message):
        building(kind, Forgetful).build(SHAPE)


@pytest.mark.parametrize("adapted", ["image", (), None])
def test_the_names_of_adapted_weights_are_a_tuple(adapted):
    own = type("Grid", (ImageModule,), {"adapted": adapted})
    with pytest.raises(TypeError, match=r"'adapted' of Grid must be a tuple .*\('image',\)"):
        building(Representation, own).build(SHAPE)


def test_a_representation_holds_no_weights():
    class Grid(ImageModule):
        adapted = ("image",)

        def __init__(self):
            super().__init__()
            self.image = torch.nn.Parameter(torch.zeros(SHAPE))

    with pytest.raises(TypeError, match=r"Grid must hold no weights.*\['image'\]"):
        building(Representation, Grid).build(SHAPE)


# ------------------------------------------------------------------ operators


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            lambda self, x: x[..., 1:],
            r"MyMap.forward must return a tensor of shape \(batch, 1, 6, 6\). Got \(2, 1, 6, 5\) "
            r"for images of shape \(2, 1, 6, 6\) instead. .* pass measurement_shape=\(1, 6, 5\)",
        ),
        (lambda self, x: x[0], r"Got \(1, 6, 6\) .* The first axis must be the batch"),
        (lambda self, x: x.numpy(), r"Got shape \(2, 1, 6, 6\), float32 instead"),
        (lambda self, x: None, "Got None instead"),
        (lambda self, x: torch.fft.fft2(x), "real numbers. .*view_as_real"),
    ],
)
def test_measurements_of_another_shape(forward, message):
    for kind in (LinearMap, ForwardMap):
        A = operator(forward, kind).build(SHAPE)
        with pytest.raises(ValueError, match=message):
            A(torch.zeros(2, *SHAPE))
    mine = operator(forward)
    with pytest.raises(ValueError, match=r"MyMap.forward must return"):
        ClassicalReconstructor(mine, device="cpu").fit(X).predict(X)


def convolved(self, x):
    return torch.nn.functional.conv2d(x, torch.ones(1, 1, 3, 3) / 9, padding=1)


def test_a_kernel_that_stays_in_single_precision():
    A = operator(convolved).build(SHAPE)
    with pytest.raises(RuntimeError) as refused:
        A(torch.zeros(2, *SHAPE, dtype=torch.float64))
    note = refused.value.__notes__[0]
    assert "MyMap got images of torch.float64 on cpu" in note
    assert 'self.register_buffer("name", tensor)' in note
    assert A(torch.zeros(2, *SHAPE)).shape == (2, *SHAPE)


def test_other_errors_of_a_forward_stay_as_they_are():
    def fails(self, x):
        raise RuntimeError("no luck")

    with pytest.raises(RuntimeError, match="no luck") as refused:
        operator(fails).build(SHAPE)(torch.zeros(2, *SHAPE))
    assert not hasattr(refused.value, "__notes__")


def test_a_tensor_that_is_no_buffer():
    class Blurred(LinearMap):
        def __init__(self, image_shape):
            super().__init__(image_shape, image_shape)
            self.kernel = torch.ones(1, 1, 3, 3) / 9

    mine = building(Operator, Blurred(SHAPE))
    message = (
        r"'kernel' of Blurred does not move with the map.*self.register_buffer\('kernel', tensor\)"
        r".*in place of self.kernel = tensor"
    )
    for use in (lambda A: A.to(torch.float32), lambda A: A.cpu(), lambda A: A.double()):
        with pytest.raises(TypeError, match=message):
            use(mine.build(SHAPE))
    with pytest.raises(TypeError, match=message):
        ClassicalReconstructor(GaussianBlur() @ mine).fit(X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.float16])
@pytest.mark.parametrize("kind", [Operator, Representation])
def test_a_buffer_in_single_precision(kind, dtype):
    class Darker(LinearMap if kind is Operator else ImageModule):
        adapted = ("image",)

        def __init__(self):
            super().__init__(*((SHAPE, SHAPE) if kind is Operator else ()))
            self.register_buffer("gain", torch.ones(6, dtype=dtype))
            self.register_buffer("places", torch.arange(6))

    with pytest.raises(TypeError, match=rf"'gain' of Darker, which Mine.build .* is in {dtype}"):
        building(kind, Darker).build(SHAPE)


# ------------------------------------------------------------------ solvers


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (
            {"step": lambda self, state, data, k: state[0]},
            r"Updates.step must return a state, a tuple of tensors with the images first, as in "
            r"`return \(x,\)`. Got shape \(2, 1, 6, 6\), torch.float32 instead",
        ),
        ({"step": lambda self, state, data, k: None}, "Updates.step must return .* Got None"),
        ({"step": lambda self, state, data, k: ()}, r"Updates.step must return .* Got \(\)"),
        (
            {"step": lambda self, state, data, k: (0.5, state[0])},
            r"The state that Updates.step returns must begin with the images.* Got 0.5 instead",
        ),
        (
            {"step": lambda self, state, data, k: (state[0][:1],)},
            r"must begin with the images, a tensor of shape \(2, 1, 6, 6\). Got shape \(1, 1, 6, 6",
        ),
        (
            {"init": lambda self, x, data: x, "step": lambda self, state, data, k: state},
            "Updates.init must return a state",
        ),
        (
            {
                "init": lambda self, x, data: (x, x),
                "step": lambda self, state, data, k: (state[0],),
            },
            "Updates.step must return a state of 2 entries, .* Got 1",
        ),
    ],
)
def test_states(methods, message):
    f = type("Updates", (IterativeSolver,), methods)(2)
    data, x = Identity().build(SHAPE).bind(torch.zeros(2, *SHAPE)), torch.ones(2, *SHAPE)
    for use in (lambda: f(x, data), lambda: f.run(x, data, max_iter=2)):
        with pytest.raises((TypeError, ValueError), match=message):
            use()


# ------------------------------------------------------------------ denoisers, losses, noise


@pytest.mark.parametrize("result", [lambda x: x[..., 1:], lambda x: x.mean(), lambda x: None])
def test_a_denoiser_that_changes_the_shape(result):
    class Cropped(DenoiserModule):
        def forward(self, x, noise_level=None):
            return result(x)

    mine = building(Denoiser, Cropped)
    message = r"Cropped.forward must return images of the shape that it takes, \(1, 1, 6, 6\)"
    with pytest.raises(ValueError, match=message):
        ClassicalReconstructor(solver=HQS(mine), device="cpu").fit(X).predict(X)


@pytest.mark.parametrize("used", ["inner_loss", "outer_loss"])
def test_a_loss_of_the_whole_batch(used):
    mine = building(Loss, lambda x, target, observed: (x - target).square().mean())
    est = MetaInverseSolver(init=_small(), n_inner=1, max_epochs=1, device="cpu", **{used: mine})
    message = r"The criterion that Mine.build returns must return one value per image.*flatten\(1\)"
    with pytest.raises(ValueError, match=message):
        est.fit(X)


def test_noise_of_another_shape():
    mine = building(Noise, lambda y, generators: y.double().flatten(1))
    with pytest.raises(
        ValueError, match=r"The function that Mine.build returns must return a tensor"
    ):
        ClassicalReconstructor(noise=mine, device="cpu").fit(X).simulate(X)


# ------------------------------------------------------------------ representations


def _small():
    from skmetainv.representations import PixelGrid

    return PixelGrid()


def test_images_without_a_batch():
    class Grid(ImageModule):
        adapted = ("image",)

        def initial_weights(self, generator):
            return {"image": torch.zeros(SHAPE, dtype=torch.float64)}

        def forward(self, weights, condition=None):
            return weights["image"]

    phi = building(Representation, Grid).build(SHAPE)
    message = r"Grid.forward must return images.*Got shape \(1, 6, 6\), torch.float64 instead"
    with pytest.raises(ValueError, match=message):
        phi(phi.initial_weights(np.random.default_rng(0)))


@pytest.mark.parametrize("factory", [torch.nn.Conv2d(1, 1, 3), lambda shape: torch.nn.Linear(6, 6)])
def test_a_module_that_takes_an_input_is_told_to_keep_it(factory):
    message = r"called without arguments. Got \w+, which takes some: .*input.*register_buffer"
    with pytest.raises(ValueError, match=message):
        ModuleRepresentation(factory).build(SHAPE)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize("default", [[1, 2], {}, np.ones(3)], ids=["list", "dict", "ndarray"])
def test_a_default_that_all_objects_would_share(default):
    message = f"'kernel' parameter of Mine is a {type(default).__name__}, which all objects"
    with pytest.raises(TypeError, match=message):

        class Mine(ParameterObject):
            kernel: object = default


def test_class_variables_may_be_shared():
    class Mine(ParameterObject):
        names: ClassVar[dict] = {}

    assert Mine().get_params() == {}

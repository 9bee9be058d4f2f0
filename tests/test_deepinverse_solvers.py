"""Our iterates and DeepInverse's, with the same weights and matched conventions.

DeepInverse's proximal step is ``argmin gamma/2 ||A x - y||^2 + 1/2 ||x - z||^2``, so that our
penalty is the inverse of its step size ``gamma``.
"""

import deepinv
import numpy as np
import pytest
import torch

from skmetainv.denoisers import DeepInverseDenoiser, DnCNN
from skmetainv.operators import DeepInverseOperator, GaussianBlur, Inpainting
from skmetainv.solvers import ADMM, HQS, ProximalGradient

SHAPE = (3, 24, 20)
N_ITER = 5
# DeepInverse's step size (the inverse penalty) and noise level, one per update.
STEP_SIZES = [20.0, 10.0, 5.0, 2.0, 1.0]
LEVELS = [0.2, 0.1, 0.08, 0.05, 0.02]


@pytest.fixture(scope="module", params=["blur", "inpainting", "physics"])
def problem(request):
    """Return our map, their physics, and the same measurement for both."""
    generator = np.random.default_rng(0)
    x = torch.from_numpy(generator.random((2, *SHAPE)))
    if request.param == "inpainting":
        operator = Inpainting()
        A = operator.build(SHAPE)
        mask = A.observed[0].double().expand(SHAPE)
        physics = deepinv.physics.Inpainting(SHAPE, mask=mask)
    else:
        operator = GaussianBlur(sigma=1.5)
        kernel = torch.from_numpy(np.array(operator.kernel))[None, None]
        physics = deepinv.physics.BlurFFT(SHAPE, filter=kernel)
        if request.param == "physics":
            operator = DeepInverseOperator(physics)
        A = operator.build(SHAPE)
    noise = 0.01 * torch.from_numpy(generator.standard_normal((2, *A.measurement_shape)))
    return A, physics.double(), A(x) + noise


@pytest.fixture(scope="module", params=["DnCNN", "DRUNet"])
def denoisers(request, tmp_path_factory):
    """Return our and their denoiser with the same weights."""
    torch.manual_seed(0)
    if request.param == "DRUNet":
        theirs = deepinv.models.DRUNet(nc=(4, 8, 8, 8), nb=1, pretrained=None).double()
        return DeepInverseDenoiser(theirs), theirs
    theirs = deepinv.models.DnCNN(depth=4, nf=8, pretrained=None).double()
    path = tmp_path_factory.mktemp("weights") / "dncnn.pth"
    torch.save(theirs.state_dict(), path)
    return DnCNN(depth=4, width=8, weights=path, precision="float64"), theirs


def their_iterates(kind, physics, y, denoiser, **settings):
    """Return the image after each update."""
    model = getattr(deepinv.optim, kind)
    iterates = []
    with torch.no_grad():
        for n in range(1, N_ITER + 1):
            solver = model(
                prior=deepinv.optim.PnP(denoiser),
                data_fidelity=deepinv.optim.L2(),
                max_iter=n,
                **{name: _first(value, n) for name, value in settings.items()},
            )
            iterates.append(solver(y, physics))
    return iterates


def _first(value, n):
    return value[:n] if isinstance(value, list) else value


def our_iterates(solver, A, y):
    f, data = solver.build(SHAPE).double(), A.bind(y)
    with torch.no_grad():
        state, iterates = f.init(data.start("adjoint"), data), []
        for k in range(N_ITER):
            state = f.step(state, data, k)
            iterates.append(state[0])
    return iterates


def assert_same(ours, theirs):
    assert len(ours) == N_ITER
    for x, z in zip(ours, theirs, strict=True):
        assert (x - z).norm() <= 1e-5 * z.norm()
    assert (ours[-1] - ours[0]).norm() > 1e-3 * ours[0].norm()  # the image changes


def test_half_quadratic_splitting(problem, denoisers):
    A, physics, y = problem
    ours, theirs = denoisers
    takes_level = isinstance(ours, DeepInverseDenoiser)
    solver = HQS(
        ours,
        n_iter=N_ITER,
        rho=[1 / s for s in STEP_SIZES],
        noise_level=LEVELS if takes_level else None,
    )
    expected = their_iterates("HQS", physics, y, theirs, stepsize=STEP_SIZES, g_param=LEVELS)
    assert_same(our_iterates(solver, A, y), expected)


def test_proximal_gradient(problem, denoisers):
    A, physics, y = problem
    ours, theirs = denoisers
    takes_level = isinstance(ours, DeepInverseDenoiser)
    solver = ProximalGradient(
        ours, n_iter=N_ITER, step_size=0.7, noise_level=LEVELS if takes_level else None
    )
    expected = their_iterates("PGD", physics, y, theirs, stepsize=0.7, g_param=LEVELS)
    assert_same(our_iterates(solver, A, y), expected)


def test_admm(problem, denoisers):
    """Their dual variable starts at the image; ours starts at zero, as usual for ADMM."""
    A, physics, y = problem
    ours, theirs = denoisers

    def start(y, physics):
        x = physics.A_adjoint(y)
        return x, torch.zeros_like(x)

    takes_level = isinstance(ours, DeepInverseDenoiser)
    solver = ADMM(ours, n_iter=N_ITER, rho=0.2, noise_level=0.1 if takes_level else None)
    expected = their_iterates(
        "ADMM", physics, y, theirs, stepsize=5.0, g_param=0.1, custom_init=start
    )
    assert_same(our_iterates(solver, A, y), expected)

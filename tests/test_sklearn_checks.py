"""All estimator checks of the installed scikit-learn."""

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
    parametrize_with_checks,
)

from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.denoisers import DnCNN, DRUNet, TotalVariation
from skmetainv.losses import L1, L2
from skmetainv.meta import IMAML, MAML, InnerLoss, PerLayer
from skmetainv.noise import GaussianNoise
from skmetainv.operators import GaussianBlur, Identity, Inpainting, MissingPixels
from skmetainv.representations import Encoder, FourierMLP, ModulatedSiren, PixelGrid, Siren
from skmetainv.solvers import ADMM, HQS, RED, GradientDescent, PrimalDual
from skmetainv.training import SGD, Cosine

SMALL = {"init": Siren(width=8, depth=3), "max_epochs": 1, "batch_size": 50}

ESTIMATORS = [
    MetaInverseSolver(max_epochs=1),
    *(
        MetaInverseSolver(operator, **SMALL)
        for operator in (Identity(), Inpainting(), MissingPixels(), GaussianBlur())
    ),
    MetaInverseSolver(
        GaussianBlur(sigma=0.5),
        GradientDescent(n_iter=2, step_size=0.5),
        noise=GaussianNoise(0.1),
        n_inner=1,
        algorithm=MAML(step_sizes="per_parameter"),
        inner_loss=L1(),
        outer_loss=L2(reduction="sum"),
        precision="float64",
        **SMALL,
    ),
    MetaInverseSolver(n_inner=0, algorithm=MAML(step_sizes="fixed"), **SMALL),
    MetaInverseSolver(
        solver=RED(DnCNN(depth=2, width=2, max_epochs=1), n_iter=1), n_inner=1, **SMALL
    ),
    MetaInverseSolver(
        init=ModulatedSiren(width=8, depth=3, modulation="latent", latent_size=4),
        algorithm="reptile",
        optimizer=SGD(schedule=Cosine(warmup=0.1)),
        max_epochs=1,
    ),
    MetaInverseSolver(
        Inpainting(),
        init=Siren(width=8, depth=3, residual="adjoint", encoder=Encoder(width=2, depth=1)),
        algorithm=IMAML(n_cg=2),
        max_epochs=1,
    ),
    MetaInverseSolver(
        MissingPixels(),
        init=PixelGrid(),
        inner_loss=InnerLoss("l1", regularizer="tv", proximity=0.1, learnable=("weight",)),
        outer_loss={"l1": 1.0, "ssim": 0.1},
        algorithm=MAML(
            step_sizes=PerLayer(positive=True),
            step_weights="uniform",
            anneal_epochs=2,
            recompute=True,
        ),
        early_stopping=True,
        max_epochs=2,
    ),
    MetaInverseSolver(
        solver=HQS(DnCNN(depth=2, width=2, max_epochs=1), n_iter=1),
        init=FourierMLP(width=8, depth=2, n_frequencies=4),
        tune_solver=True,
        algorithm=MAML(first_order=True, engine="higher"),
        n_inner=1,
        max_epochs=1,
    ),
    MetaInverseSolver(precision="bfloat16", **SMALL),
    ClassicalReconstructor(),
    ClassicalReconstructor(MissingPixels(), HQS(TotalVariation(n_iter=5)), batch_size=3),
    ClassicalReconstructor(
        GaussianBlur(), PrimalDual(), max_iter=30, tol=1e-2, start="zeros", precision="float64"
    ),
    ClassicalReconstructor(solver=ADMM(DnCNN(depth=2, width=2, max_epochs=1)), noise=0.1),
    LinearReconstructor(),
    LinearReconstructor(MissingPixels(), noise=GaussianNoise(0.1), flips=True, n_components=3),
    LinearReconstructor(GaussianBlur(), shrinkage=0.5, precision="float64"),
    UnrolledReconstructor(solver=GradientDescent(n_iter=5), max_epochs=1),
    UnrolledReconstructor(
        MissingPixels(),
        HQS(TotalVariation(n_iter=2), n_iter=2, learnable=("noise_level",)),
        start="measurement",
        loss="l1",
        early_stopping=True,
        max_epochs=2,
    ),
    UnrolledReconstructor(
        GaussianBlur(),
        RED(
            DnCNN(depth=2, width=2, max_epochs=1),
            n_iter=2,
            weight=[0.1, 0.2],
            learnable=("weight",),
        ),
        start="zeros",
        noise=0.1,
        precision="float64",
        max_epochs=1,
    ),
    UNetReconstructor(width=4, max_epochs=1),
    UNetReconstructor(MissingPixels(), width=2, depth=3, loss={"l1": 1.0, "l2": 0.5}, max_epochs=1),
    UNetReconstructor(
        GaussianBlur(),
        width=2,
        depth=1,
        residual=False,
        start="adjoint",
        precision="bfloat16",
        max_epochs=1,
    ),
    DnCNN(max_epochs=1),
    DnCNN(0.05, depth=3, width=4, max_epochs=2, patch_size=2, augment=False, loss="l1"),
    DnCNN(
        (0.0, 0.2),
        depth=3,
        width=4,
        max_epochs=2,
        residual=False,
        noise_level_input=True,
        spectral_norm=1.0,
        precision="float64",
    ),
    DRUNet(width=2, n_blocks=1, max_epochs=1),
]


@parametrize_with_checks(ESTIMATORS)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "check", [check_dataframe_column_names_consistency, check_inplace_ensure_writeable]
)
def test_checks_that_check_estimator_leaves_out(estimator, check):
    check(type(estimator).__name__, estimator)

"""The columns of the paper's tables as estimators, and their tasks."""

from typing import Any, NamedTuple

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from benchmarks.paper.settings import (
    DEBLURRING,
    DENOISER_NOISE,
    INPAINTING,
    MISSING,
    N_UPDATES,
    NOISE,
    TUNED,
    Preset,
)
from skmetainv import (
    ClassicalReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.denoisers import DnCNN
from skmetainv.losses import L2, LPIPS
from skmetainv.meta import MAML, InnerLoss, TuneSolver
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels, Operator
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, RED, GradientDescent
from skmetainv.training import Adam

# Tolerance of RED's convergence, and its largest number of updates.
_CONVERGED = {"max_iter": 200, "tol": 1e-4}
# HQS has converged at the end of its schedule: 30 updates in Zhang et al. (2017).
_USUAL_UPDATES = 30
STEPS = (2, 3, 5, 7)  # inner steps of Table 1
# The paper's inner loop: the data fidelity of the solver's result, with a fixed solver.
_ALGORITHM_1 = {
    "inner_lr": 0.01,
    "inner_loss": InnerLoss(L2(), of="result"),
    "tune_solver": False,
}


class Task(NamedTuple):
    """The operator and the noise of the test measurements."""

    operator: Operator
    noise: float


def tasks(table: int, preset: Preset) -> dict[str, Task]:
    """Return the tasks of a table by row; all tables except Table 2 have one."""
    if table == MISSING:
        n_pixels = preset.sizes[table] ** 2
        counts = {str(n): max(1, round(n * n_pixels / 1024)) for n in (10, 500, 1000)}
        rows = {name: Task(MissingPixels(observed=n), 0.0) for name, n in counts.items()}
        return {**rows, "Half": Task(MissingPixels(observed=0.5, pattern="side"), 0.0)}
    if table == INPAINTING:
        return {"": Task(Inpainting(mask="center", fraction=1 / 3), 0.0)}
    return {"": Task(GaussianBlur(sigma=preset.blur), NOISE)}


def denoiser(preset: Preset, seed: int, device: str) -> DnCNN:
    """Return the denoiser of Tables 3 and 4, not fitted."""
    own = {"random_state": seed, "device": device, "early_stopping": False}
    return DnCNN(DENOISER_NOISE, **clone(preset.denoiser, safe=False), **own)


def columns(
    table: int, preset: Preset, seed: int, device: str, D: Any = None, lpips: LPIPS | None = None
) -> dict[str, Any]:
    """Return the unfitted estimators of a table by the names of their columns.

    Parameters
    ----------
    table : {1, 2, 3, 4}
        Number of the table.
    preset : Preset
        Sizes of the experiment.
    seed : int
        Seed of training.
    device : str
        Device of training.
    D : DnCNN, default=None
        The fitted denoiser of Tables 3 and 4.
    lpips : LPIPS, default=None
        Training loss of the "LPIPS" columns; if None, they are left out.
    """
    common = {"batch_size": preset.batch_size(table), "device": device, "random_state": seed}
    trained = {
        **common,
        "max_epochs": preset.epochs[table],
        "optimizer": Adam(schedule="constant", max_grad_norm=None),
        "augment": False,
        "early_stopping": False,
    }
    frozen = None if D is None else FrozenEstimator(D)
    made = _MAKERS[table](preset, trained, common, frozen, lpips)
    made = {name: clone(estimator) for name, estimator in made.items()}  # they share `_ALGORITHM_1`
    for name, estimator in made.items():
        for beginning, settings in preset.of_columns(table).items():
            if name.startswith(beginning):
                estimator.set_params(**settings)
    # Columns do not share the objects of their settings either.
    return {name: clone(estimator) for name, estimator in made.items()}


def _inpainting(preset: Preset, trained: Any, common: Any, D: Any, lpips: Any) -> dict[str, Any]:
    operator = tasks(INPAINTING, preset)[""].operator
    siren = Siren(width=preset.siren_width, depth=5)
    step = GradientDescent(n_iter=1)  # a step size of 0.9, because the norm of a mask is 1
    own = {**trained, **_ALGORITHM_1, "init": siren, "algorithm": MAML(step_sizes="per_step")}
    made = {f"Meta-{m}": MetaInverseSolver(operator, step, n_inner=m, **own) for m in STEPS}
    return {**made, "UNet": UNetReconstructor(operator, **preset.unet, **trained)}


def _missing(preset: Preset, trained: Any, common: Any, D: Any, lpips: Any) -> dict[str, Any]:
    """Return Table 2, with one network for all numbers of observed pixels, as in the paper."""
    counts = [task.operator.observed for task in tasks(MISSING, preset).values()]
    operator = MissingPixels(observed=(counts[0], counts[2]))
    siren = Siren(width=preset.siren_width, depth=5)
    own = {**trained, **_ALGORITHM_1, "init": siren, "algorithm": MAML(step_sizes="per_parameter")}
    return {
        "Meta": MetaInverseSolver(operator, n_inner=5, **own),
        "UNet": UNetReconstructor(operator, **preset.unet, **trained),
    }


def _meta_red(
    preset: Preset, trained: Any, D: Any, lpips: Any, *, tune_solver: bool
) -> dict[str, Any]:
    task, siren = tasks(DEBLURRING, preset)[""], Siren(width=preset.siren_width, depth=5)
    own = {**trained, **_ALGORITHM_1, "init": siren, "algorithm": MAML(step_sizes="per_parameter")}
    own |= {"noise": task.noise, "n_inner": 3}
    own["tune_solver"] = TuneSolver("all") if tune_solver else False
    losses = {"L1": "l1", "L2": "l2"} | ({} if lpips is None else {"LPIPS": lpips})
    return {
        f"Meta-RED {name}": MetaInverseSolver(
            task.operator, RED(D, n_iter=3), outer_loss=loss, **own
        )
        for name, loss in losses.items()
    }


def _deblurring(preset: Preset, trained: Any, common: Any, D: Any, lpips: Any) -> dict[str, Any]:
    operator, noise = tasks(DEBLURRING, preset)[""]
    own = {**common, "noise": noise, "start": "measurement"}
    hqs, usual = [HQS(D, n_iter=n, measurement_noise=noise) for n in (N_UPDATES, _USUAL_UPDATES)]
    return {
        **_meta_red(preset, trained, D, lpips, tune_solver=False),
        "RED 12": ClassicalReconstructor(operator, RED(D, n_iter=N_UPDATES), **own),
        "RED converged": ClassicalReconstructor(operator, RED(D), **own, **_CONVERGED),
        "HQS 12": ClassicalReconstructor(operator, hqs, **own),
        "HQS converged": ClassicalReconstructor(operator, usual, **own),
    }


def _tuned(preset: Preset, trained: Any, common: Any, D: Any, lpips: Any) -> dict[str, Any]:
    operator, noise = tasks(TUNED, preset)[""]
    own = {**trained, "noise": noise, "start": "measurement"}
    red = RED(D, n_iter=N_UPDATES)
    hqs = HQS(D, n_iter=N_UPDATES, measurement_noise=noise, learnable=("rho",))
    return {
        **_meta_red(preset, trained, D, lpips, tune_solver=True),
        "RED(12)": UnrolledReconstructor(operator, red, **own),
        "HQS(12)": UnrolledReconstructor(operator, hqs, **own),
    }


_MAKERS = {INPAINTING: _inpainting, MISSING: _missing, DEBLURRING: _deblurring, TUNED: _tuned}

"""One update of a solver with total variation, ours and DeepInverse's."""

from functools import partial

import deepinv
import numpy as np
import torch

from benchmarks.operators import ROWS, channels_first, timed
from skmetainv.denoisers import TotalVariation
from skmetainv.solvers import HQS, RED, ProximalGradient

SHAPE, BLUR = (1, 128, 128), "GaussianBlur(3)"
TV_UPDATES, LEVEL, RHO, STEP = 50, 0.05, 0.1, 0.9


def solvers():
    """Return our solver and DeepInverse's by name; each makes one update."""
    ours = {"denoiser": TotalVariation(LEVEL, n_iter=TV_UPDATES), "n_iter": 1}
    tv = deepinv.models.TVDenoiser(n_it_max=TV_UPDATES, crit=0.0)
    theirs = {"max_iter": 1, "g_param": LEVEL, "data_fidelity": deepinv.optim.L2()}
    plug = {**theirs, "prior": deepinv.optim.PnP(tv)}
    return {
        "HQS": (HQS(rho=RHO, **ours), deepinv.optim.HQS(stepsize=1 / RHO, **plug)),
        "RED": (
            RED(method="steepest_descent", weight=RHO, step_size=STEP, **ours),
            deepinv.optim.GD(stepsize=STEP, lambda_reg=RHO, **theirs, prior=deepinv.optim.RED(tv)),
        ),
        "proximal gradient": (
            ProximalGradient(step_size=STEP, **ours),
            deepinv.optim.PGD(stepsize=STEP, **plug),
        ),
    }


def update(name, rounds, device, shape=SHAPE):
    """Return the seconds of an update, and the ratio to DeepInverse's."""
    row, (ours, theirs) = ROWS[BLUR], solvers()[name]
    A = row.operator.build(shape).draw([np.random.default_rng(0)]).to(device, torch.float32)
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)).to(device)
    y = A(x)
    data, f = A.bind(y), ours.build(shape).to(device, torch.float32)
    physics, model = row.theirs(A.cpu()).to(device), theirs.to(device)
    A.to(device)
    start = data.start("adjoint")
    call = partial(f, start, data)
    other = partial(model, channels_first(y), physics, init=(start, start))
    results = {"seconds": [], "share": [None], "theirs": {"deepinv": []}, "ratio": {"deepinv": []}}
    with torch.no_grad():
        for _ in range(rounds):
            pair = timed(call, other, device)
            results["seconds"].append(pair["ours_ms"] / 1000)
            results["theirs"]["deepinv"].append(pair["theirs_ms"] / 1000)
            results["ratio"]["deepinv"].append(pair["ratio"])
    return results

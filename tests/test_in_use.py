"""Fitted estimators in use: threads, other processes, and a server of many predictions."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from settings import SMALL_FACES, small, small_denoiser
from sklearn.base import clone

from skmetainv import ClassicalReconstructor, LinearReconstructor, UNetReconstructor
from skmetainv.denoisers import TotalVariation
from skmetainv.operators import GaussianBlur, Inpainting, MissingPixels
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, ConjugateGradient

FACES = SMALL_FACES[:12]
ESTIMATORS = {
    "meta": small(MissingPixels()),
    "start and solver": small(
        GaussianBlur(), ConjugateGradient(n_iter=2), init=Siren(8, residual=LinearReconstructor())
    ),
    "linear": LinearReconstructor(Inpainting(), noise=0.01),
    "classical": ClassicalReconstructor(GaussianBlur(), HQS(TotalVariation(n_iter=5)), max_iter=3),
    "unet": UNetReconstructor(Inpainting(), width=2, depth=1, max_epochs=1, random_state=0),
    "denoiser": small_denoiser(),
}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


@pytest.fixture(scope="module")
def fitted():
    return {name: est.fit(FACES) for name, est in ESTIMATORS.items()}


def measurements(est):
    """Batches of different sizes."""
    y = est.simulate(FACES, random_state=0)
    return [y[k : k + 1 + k % 3] for k in range(8)]


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@every_estimator
def test_eight_threads_restore_what_one_does(fitted, name):
    est = fitted[name]
    batches = measurements(est)
    expected = [est.predict(y) for y in batches]
    est._cache.clear()  # threads build the modules at the same time
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait(timeout=60)
        return [est.predict(batches[(k + i) % 8]) for i in range(8)]

    with ThreadPoolExecutor(8) as pool:
        for k, found in enumerate(pool.map(work, range(8))):
            assert_equal(found, expected[k:] + expected[:k])


@every_estimator
def test_threads_that_train_at_the_same_time_learn_what_one_does(fitted, name):
    expected = getattr(fitted[name], "weights_", {})
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: clone(ESTIMATORS[name]).fit(FACES), range(4)))
    for est in found:
        for key, weight in expected.items():
            np.testing.assert_array_equal(est.weights_[key], weight)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib_s_workers_restore_what_one_process_does(fitted, backend):
    tasks = [(est, y) for est in fitted.values() for y in measurements(est)[:2]]
    expected = [est.predict(y) for est, y in tasks]
    if backend == "multiprocessing":
        # It forks this process, which has used torch's threads: torch then needs a single one.
        assert torch.get_num_threads() == 1
    with parallel_config(backend, n_jobs=2):
        found = Parallel()(delayed(est.predict)(y) for est, y in tasks)
    assert_equal(found, expected)


def test_dask_s_workers_restore_what_one_process_does(fitted, tmp_path):
    distributed = pytest.importorskip("distributed")
    est = fitted["start and solver"]
    batches = measurements(est)[:4]
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        found = client.gather([client.submit(est.predict, y) for y in batches])
    assert_equal(found, [est.predict(y) for y in batches])


@every_estimator
def test_a_server_keeps_nothing_of_a_request(fitted, name):
    """After some requests, others leave no object behind; `benchmarks.scale` serves 10 000."""
    est = fitted[name]
    batches = measurements(est)

    def serve(n):
        for k in range(n):
            est.predict(batches[k % len(batches)])
        gc.collect()
        return len(gc.get_objects())

    serve(40)
    before = serve(8)
    assert serve(80) <= before + 8  # the interpreter's own caches

"""Searches that train their candidates in other processes, by joblib's backends."""

import os

import numpy as np
import pytest
from joblib import parallel_config
from settings import SMALL_FACES
from sklearn.model_selection import GridSearchCV

from skmetainv import MetaInverseSolver
from skmetainv.meta import MAML
from skmetainv.model_selection import psnr_scorer
from skmetainv.operators import MissingPixels
from skmetainv.representations import Siren

FACES = SMALL_FACES[:10]


def searched(n_jobs=None):
    """The scores of a grid's candidates, the best candidate, and the processes that scored them."""

    def process(estimator, X, y=None):
        return os.getpid()

    est = MetaInverseSolver(
        MissingPixels(),
        init=Siren(width=8, depth=3),
        algorithm=MAML(step_sizes="per_parameter"),
        outer_lr=1e-3,
        max_epochs=2,
        precision="float64",
        random_state=0,
    )
    search = GridSearchCV(
        est,
        {"n_inner": [1, 2], "inner_lr": [0.01, 0.1]},
        scoring={"psnr": psnr_scorer, "process": process},
        refit="psnr",
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(FACES)
    results = search.cv_results_
    scores, processes = (
        np.array([results[f"split{k}_test_{name}"] for k in range(2)])
        for name in ("psnr", "process")
    )
    return scores, search.best_estimator_, set(processes.ravel().astype(int))


@pytest.fixture(scope="module")
def alone():
    scores, best, processes = searched()
    assert processes == {os.getpid()}
    assert len(np.unique(scores)) == scores.size  # candidates and folds differ
    return scores, best


def assert_same_search(found, alone):
    scores, best, processes = found
    assert os.getpid() not in processes
    np.testing.assert_allclose(scores, alone[0], rtol=1e-10)
    assert best.get_params()["n_inner"] == alone[1].get_params()["n_inner"]
    np.testing.assert_allclose(best.predict(FACES), alone[1].predict(FACES), rtol=1e-10)


def test_processes_of_loky_find_the_scores_of_one(alone):
    with parallel_config("loky"):
        assert_same_search(searched(n_jobs=2), alone)


def test_a_cluster_of_dask_finds_the_scores_of_one_process(alone, tmp_path):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        local_directory=tmp_path,
    )
    with cluster, distributed.Client(cluster), parallel_config("dask"):
        assert_same_search(searched(), alone)

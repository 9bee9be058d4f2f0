import pickle
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import settings
import torch
from PIL import Image
from scipy.stats import sem
from settings import PAPER, SMALL_FACES
from skimage.io import imsave
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, GroupKFold, RepeatedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmetainv import (
    ClassicalReconstructor,
    LinearReconstructor,
    MetaInverseSolver,
    UNetReconstructor,
    UnrolledReconstructor,
)
from skmetainv.datasets import ImageFolder
from skmetainv.denoisers import DnCNN, FunctionDenoiser
from skmetainv.losses import LPIPS
from skmetainv.meta import MAML, InnerLoss
from skmetainv.metrics import mse, psnr, ssim
from skmetainv.model_selection import (
    ImageScorer,
    compare,
    neg_mse_scorer,
    psnr_scorer,
    ssim_scorer,
    standard_error,
)
from skmetainv.operators import (
    CompressedSensing,
    ForwardMap,
    GaussianBlur,
    Inpainting,
    MissingPixels,
    Operator,
)
from skmetainv.reconstruction import Restorer
from skmetainv.representations import Siren
from skmetainv.solvers import HQS, RED

FACES = SMALL_FACES


class Rows(Operator):
    def build(self, image_shape):
        return ForwardMap(image_shape, (1, 1, 1))


small = partial(settings.small, **PAPER)


@pytest.mark.parametrize(
    ("scorer", "metric"),
    [(psnr_scorer, psnr), (ssim_scorer, ssim), (neg_mse_scorer, lambda a, b: -mse(a, b))],
)
def test_a_scorer_is_its_metric(scorer, metric):
    est = small(MissingPixels(), noise=0.1).fit(FACES[:10])
    measured = est.simulate(FACES[10:20], random_state=0)
    expected = metric(FACES[10:20], est.predict(measured))
    assert scorer(est, FACES[10:20]) == pytest.approx(expected, rel=1e-5)
    assert scorer(est, measured, FACES[10:20]) == pytest.approx(expected, rel=1e-5)
    assert scorer(est, FACES[10:20], np.arange(10)) == pytest.approx(expected, rel=1e-5)


def test_score_is_the_psnr_scorer():
    est = small(noise=0.1).fit(FACES[:10])
    assert est.score(FACES[10:20]) == psnr_scorer(est, FACES[10:20])


def test_scorers_of_flat_and_ranged_images_see_images():
    x = 255 * FACES[:10]
    est = small(data_range=255).fit(x)
    flat = small(data_range=255).fit(x.reshape(10, -1))
    assert ssim_scorer(est, x) == pytest.approx(ssim_scorer(flat, x.reshape(10, -1)))
    restored = est.predict(x)
    assert ssim_scorer(est, x) == pytest.approx(ssim(x, restored, data_range=255), abs=1e-5)
    assert psnr_scorer(est, x) == pytest.approx(psnr(x, restored, data_range=255), rel=1e-5)


def test_the_simulation_of_a_scorer_is_fixed():
    est = small(MissingPixels(), noise=0.1).fit(FACES[:10])
    assert psnr_scorer(est, FACES[:10]) == psnr_scorer(est, FACES[:10])
    other = ImageScorer("psnr", random_state=1)
    assert other(est, FACES[:10]) != psnr_scorer(est, FACES[:10])


@pytest.mark.parametrize("given", [{"operator": GaussianBlur(sigma=5.0)}, {"noise": 0.5}])
def test_what_simulates_is_refused_with_pairs(given):
    est = small().fit(FACES[:5])
    for estimator in (est, make_pipeline(est)):
        with pytest.raises(ValueError, match="nothing is simulated"):
            ImageScorer(**given)(estimator, FACES[:5], FACES[:5])


def test_a_fixed_operator_scores_every_candidate_on_the_same_task():
    task = ImageScorer("psnr", operator=GaussianBlur(sigma=1.5), noise=0.05)
    search = GridSearchCV(
        small(GaussianBlur()),
        {"operator__sigma": [0.1, 1.5]},
        scoring=task,
        cv=2,
        refit=False,
        error_score="raise",
    ).fit(FACES[:10])
    train, test = FACES[5:10], FACES[:5]
    for k, sigma in enumerate((0.1, 1.5)):
        est = small(GaussianBlur(sigma=sigma)).fit(train)
        measured = small(GaussianBlur(sigma=1.5), noise=0.05).simulate(test, random_state=0)
        expected = psnr(test, est.predict(measured))
        assert search.cv_results_["split0_test_score"][k] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scorer", [psnr_scorer, ssim_scorer, neg_mse_scorer])
def test_searches_with_scorers(scorer):
    grid = {"n_inner": [0, 2]}
    clean = GridSearchCV(small(GaussianBlur()), grid, scoring=scorer, cv=2, error_score="raise")
    clean.fit(FACES[:10])
    assert np.isfinite(clean.cv_results_["mean_test_score"]).all()
    measured = small(GaussianBlur()).simulate(FACES[:10])
    pairs = GridSearchCV(small(GaussianBlur()), grid, scoring=scorer, cv=2, error_score="raise")
    pairs.fit(measured, FACES[:10])
    np.testing.assert_allclose(
        pairs.cv_results_["mean_test_score"], clean.cv_results_["mean_test_score"], rtol=1e-5
    )


def test_scorers_see_through_searches_and_frozen_estimators():
    search = GridSearchCV(small(Inpainting()), {"n_inner": [1]}, cv=2).fit(FACES[:10])
    expected = psnr_scorer(search.best_estimator_, FACES[:5])
    assert psnr_scorer(search, FACES[:5]) == expected
    assert psnr_scorer(FrozenEstimator(search), FACES[:5]) == expected


def test_several_scorers():
    scoring = {"psnr": psnr_scorer, "ssim": ssim_scorer}
    result = cross_validate(small(), FACES[:9], cv=3, scoring=scoring, error_score="raise")
    assert result["test_psnr"].shape == result["test_ssim"].shape == (3,)


def test_scorers_have_names_and_refuse_unknown_metrics():
    assert psnr_scorer.__name__ == "psnr"
    assert repr(psnr_scorer) == "ImageScorer()"
    est = small().fit(FACES[:3])
    for scorer, name in (
        (ImageScorer("sharpness"), "metric"),
        (ImageScorer("mse"), "metric"),
        (ImageScorer(["psnr", "sharpness"]), "metric"),
        (ImageScorer(["psnr", "ssim", "psnr"]), "metric"),
        (ImageScorer([]), "metric"),
        (ImageScorer({"psnr": psnr}), "metric"),
        (ImageScorer(psnr), "metric"),
        (ImageScorer(operator="blur"), "operator"),
        (ImageScorer(noise=-1.0), "noise"),
        (ImageScorer(random_state="seed"), "random_state"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' parameter of ImageScorer"):
            scorer(est, FACES[:3])


def test_a_scorer_of_several_metrics_predicts_once(monkeypatch):
    est = small(MissingPixels(), noise=0.1).fit(FACES[:10])
    alone = {s.__name__: s(est, FACES[10:20]) for s in (neg_mse_scorer, psnr_scorer, ssim_scorer)}
    batches, restore = [], Restorer.__call__
    monkeypatch.setattr(
        Restorer, "__call__", lambda self, y, A: (batches.append(len(y)), restore(self, y, A))[1]
    )
    scorer = ImageScorer(["neg_mse", "psnr", "ssim"])
    assert scorer(est, FACES[10:20]) == alone
    assert sum(batches) == 10
    assert scorer.__name__ == "neg_mse, psnr, ssim"
    assert ImageScorer(("ssim",))(est, FACES[10:20]) == {"ssim": alone["ssim"]}


def test_searches_with_a_scorer_of_several_metrics():
    several, grid = ImageScorer(["psnr", "neg_mse"]), {"n_inner": [0, 2]}
    result = cross_validate(small(), FACES[:9], cv=3, scoring=several, error_score="raise")
    for scorer in (psnr_scorer, neg_mse_scorer):
        alone = cross_validate(small(), FACES[:9], cv=3, scoring=scorer, error_score="raise")
        np.testing.assert_array_equal(result[f"test_{scorer.__name__}"], alone["test_score"])
    search = GridSearchCV(
        small(), grid, scoring=several, refit="psnr", cv=2, error_score="raise"
    ).fit(FACES[:10])
    psnrs = search.cv_results_["mean_test_psnr"]
    assert search.best_index_ == np.argmax(psnrs)
    assert search.best_score_ == psnrs.max() > psnrs.min()
    assert (search.cv_results_["mean_test_neg_mse"] < 0).all()


def test_scorers_are_cloned_with_their_metrics():
    scorer = ImageScorer(["psnr", "neg_lpips"], lpips=LPIPS("vgg"))
    copy = clone(scorer).set_params(lpips__upsample=True)
    assert repr(copy.lpips) == "LPIPS(net='vgg', upsample=True)"
    assert copy.metric == scorer.metric


def test_a_fixed_operator_must_give_what_can_be_restored():
    est = small(Inpainting()).fit(FACES[:3])
    with pytest.raises(ValueError, match="missing values, which the fitted"):
        ImageScorer(operator=MissingPixels())(est, FACES[:3])
    with pytest.raises(ValueError, match="gives measurements of shape"):
        ImageScorer(operator=Rows())(est, FACES[:3])


def test_pipelines_are_scored_on_pairs():
    pipeline = make_pipeline(FunctionTransformer(), small(Inpainting()))
    measured = small(Inpainting()).simulate(FACES[:9])
    alone = small(Inpainting()).fit(measured, FACES[:9])
    pipeline.fit(measured, FACES[:9])
    for scorer in (psnr_scorer, ssim_scorer, neg_mse_scorer):
        expected = scorer(alone, measured, FACES[:9])
        assert scorer(pipeline, measured, FACES[:9]) == pytest.approx(expected, rel=1e-5)
    flat = pipeline.fit(measured.reshape(9, -1), FACES[:9].reshape(9, -1))
    assert ssim_scorer(flat, measured.reshape(9, -1), FACES[:9].reshape(9, -1)) == pytest.approx(
        ssim_scorer(alone, measured, FACES[:9]), rel=1e-5
    )
    pair = measured.reshape(9, -1), FACES[:9].reshape(9, -1)
    assert ImageScorer(["psnr", "ssim"])(flat, *pair) == {
        "psnr": psnr_scorer(flat, *pair),
        "ssim": ssim_scorer(flat, *pair),
    }


def of_bytes():
    """A pipeline that scales 8-bit images to [-1, 1] and restores them."""
    scale = FunctionTransformer(lambda X: X / 127.5 - 1)
    return make_pipeline("passthrough", scale, small(Inpainting(), data_range=(-1, 1), noise=0.1))


def test_pipelines_are_scored_on_clean_images():
    pipeline, byte = of_bytes(), (255 * FACES).round()
    pipeline.fit(byte[:6])
    last, scaled = pipeline[-1], byte[6:9] / 127.5 - 1
    assert psnr_scorer(pipeline, byte[6:9]) == pytest.approx(pipeline.score(byte[6:9]))
    for held in (pipeline, FrozenEstimator(pipeline), make_pipeline(pipeline)):
        assert ssim_scorer(held, byte[6:9]) == ssim_scorer(last, scaled)
        assert ImageScorer(noise=0.5)(held, byte[6:9]) == ImageScorer(noise=0.5)(last, scaled)


def test_images_of_a_pipeline_are_in_the_units_of_its_last_step():
    pipeline, byte = of_bytes(), (255 * FACES).round()
    scaled = byte[:6] / 127.5 - 1
    measured = small(Inpainting(), data_range=(-1, 1)).simulate(scaled)
    pipeline.fit(127.5 * (measured + 1), scaled)
    expected = psnr(scaled, pipeline.predict(127.5 * (measured + 1)), data_range=(-1, 1))
    pair = 127.5 * (measured + 1), scaled
    assert psnr_scorer(pipeline, *pair) == pytest.approx(expected)
    assert psnr_scorer(pipeline, *pair) == pytest.approx(pipeline.score(*pair))


def test_a_search_over_a_pipeline_of_clean_images_is_that_over_its_last_step():
    grid, step = {"n_inner": [0, 1]}, "metainversesolver__"
    search = partial(GridSearchCV, scoring=psnr_scorer, cv=2, error_score="raise")
    alone = search(small(), grid).fit(FACES[:8])
    pipeline = make_pipeline(FunctionTransformer(), small())
    piped = search(pipeline, {step + name: values for name, values in grid.items()}).fit(FACES[:8])
    scores = "mean_test_score"
    np.testing.assert_array_equal(piped.cv_results_[scores], alone.cv_results_[scores])
    assert psnr_scorer(piped, FACES[8:10]) == psnr_scorer(alone, FACES[8:10])


class Halved:
    """An estimator that is not from this library."""

    def predict(self, X):
        return X / 2


@pytest.mark.parametrize(
    ("estimator", "given", "error", "message"),
    [
        (Halved(), (FACES[:3],), ValueError, r"scorer\(estimator, measured, clean\), and search"),
        (Halved(), (FACES[:3], [0, 1, 0]), ValueError, "Halved cannot simulate measurements"),
        (Halved(), (FACES[:3], FACES[:2]), ValueError, "inconsistent numbers of samples"),
        (Halved, (FACES[:3], FACES[:3]), TypeError, "Halved'> is a class, not an instance"),
        (MetaInverseSolver, (FACES[:3],), TypeError, "is a class, not an instance"),
        ([Halved()], (FACES[:3], FACES[:3]), TypeError, "implementing 'predict'. Got \\["),
        (make_pipeline(small()), (FACES[:3],), NotFittedError, "MetaInverseSolver instance is not"),
        (GridSearchCV(small(), {}), (FACES[:3],), NotFittedError, "MetaInverseSolver instance"),
    ],
)
def test_what_cannot_be_scored_is_named(estimator, given, error, message):
    with pytest.raises(error, match=message):
        psnr_scorer(estimator, *given)


# Comparisons


SPLIT = np.arange(4, 14), np.arange(4)


class Recording(ClassicalReconstructor):
    """Records, for all its clones, the arrays given to `fit` and `restorations`."""

    seen, fitted = [], []

    def fit(self, X, y=None):
        self.fitted.append((X, y))
        return super().fit(X, y)

    def restorations(self, X, y=None, **simulation):
        assert not simulation
        self.seen.append((np.asarray(X), np.asarray(y)))
        return super().restorations(X, y)


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(Recording, "seen", [])
    monkeypatch.setattr(Recording, "fitted", [])
    return Recording


def values_by_hand(est, train, measured, clean, **units):
    restored = est.fit(*train).predict(measured)
    return {
        "psnr": psnr(clean, restored, per_image=True, **units),
        "ssim": ssim(clean, restored, per_image=True, **units),
        "mse": mse(clean, restored, per_image=True, **units),
    }


def test_a_comparison_recomputed_by_hand():
    train, test = SPLIT
    estimators = {
        "meta": small(MissingPixels(), noise=0.1),
        "solver": ClassicalReconstructor(MissingPixels(), HQS(), precision="float64"),
    }
    measured = estimators["meta"].simulate(FACES[test], random_state=3)
    table = compare(estimators, FACES, cv=[SPLIT], random_state=3)
    images = compare(estimators, FACES, cv=[SPLIT], random_state=3, per_image=True)
    assert [*table.index] == [*estimators]
    assert [*table.columns] == [
        *("psnr", "psnr_se", "ssim", "ssim_se", "mse", "mse_se"),
        *("fit_seconds", "predict_ms", "n_weights"),
    ]
    assert [*images.columns] == ["name", "split", "image", "psnr", "ssim", "mse"]
    assert (table[["fit_seconds", "predict_ms"]] > 0).all(axis=None)
    for name, est in estimators.items():
        expected = values_by_hand(clone(est), (FACES[train],), measured, FACES[test])
        own = images[images["name"] == name]
        assert [*own["image"]] == [*test]
        assert (own["split"] == 0).all()
        for metric, values in expected.items():
            np.testing.assert_allclose(own[metric], values, rtol=1e-5, atol=1e-5)
            assert table.loc[name, metric] == pytest.approx(own[metric].mean())
            assert table.loc[name, f"{metric}_se"] == pytest.approx(sem(own[metric]))


def test_a_comparison_has_the_scores_of_cross_validation():
    est = small(MissingPixels(), noise=0.1)
    scored = cross_validate(est, FACES[:9], cv=3, scoring=ImageScorer(["psnr", "neg_mse"]))
    images = compare([est], FACES[:9], cv=3, per_image=True).groupby("split").mean(True)
    np.testing.assert_allclose(images["psnr"], scored["test_psnr"], rtol=1e-5)
    np.testing.assert_allclose(images["mse"], -scored["test_neg_mse"], rtol=1e-5)


@pytest.mark.parametrize("given", [{}, {"operator": MissingPixels(0.9), "noise": 0.5}])
def test_all_estimators_see_the_same_measurements(given, recorded):
    estimators = [
        recorded(MissingPixels(0.3), noise=0.2, random_state=0),
        recorded(MissingPixels(0.7), noise=0.1, random_state=1, batch_size=3),
        recorded(MissingPixels(0.5), max_iter=2, precision="float64"),
    ]
    compare(estimators, FACES[:12], cv=3, **given)
    simulator = clone(estimators[0]).set_params(**given)
    assert len(recorded.seen) == 9  # three estimators, three splits
    for i in range(3):
        test = slice(4 * i, 4 * i + 4)
        expected = simulator.simulate(FACES[test], random_state=0)
        assert np.isnan(expected).any()
        for measured, clean in recorded.seen[3 * i : 3 * i + 3]:
            np.testing.assert_array_equal(measured, expected)
            np.testing.assert_array_equal(clean, FACES[test])


def test_a_random_seed_is_drawn_once(recorded):
    estimators = [recorded(noise=0.1)] * 2
    for seed in (None, np.random.default_rng(0)):
        compare(estimators, np.repeat(FACES[:1], 4, 0), cv=2, random_state=seed)
    for of_a_call in (recorded.seen[:4], recorded.seen[4:]):
        for measured, _ in of_a_call:
            np.testing.assert_array_equal(measured, of_a_call[0][0])
    assert not np.array_equal(recorded.seen[0][0], recorded.seen[4][0])


def test_comparisons_keep_groups_together(recorded):
    groups = np.array([0, 1, 2] * 4)
    images = compare(
        [recorded()], FACES[:12], cv=GroupKFold(3), groups=groups, per_image=True, metrics="psnr"
    )
    assert sorted(images["image"]) == [*range(12)]
    assert images.groupby("split")["image"].agg(lambda own: len({*groups[own]})).eq(1).all()
    for i, (training, _) in enumerate(recorded.fitted):
        of_test = groups[images.loc[images["split"] == i, "image"]]
        np.testing.assert_array_equal(training, FACES[:12][groups != of_test[0]])


def test_comparisons_of_pairs(recorded):
    measured = ClassicalReconstructor(MissingPixels(), noise=0.1).simulate(FACES[:14], 5)
    train, test = SPLIT
    est = recorded(MissingPixels())
    table = compare([est], measured, FACES[:14], cv=[SPLIT])
    ((X, y),), ((seen, clean),) = recorded.fitted, recorded.seen
    np.testing.assert_array_equal(X, measured[train])
    np.testing.assert_array_equal(y, FACES[train])
    np.testing.assert_array_equal(seen, measured[test])
    np.testing.assert_array_equal(clean, FACES[test])
    expected = values_by_hand(est, (X, y), measured[test], FACES[test])
    for metric, values in expected.items():
        assert table[metric].item() == pytest.approx(values.mean(), rel=1e-5)
    tensors = compare([est], torch.from_numpy(measured), torch.from_numpy(FACES[:14]), cv=[SPLIT])
    np.testing.assert_array_equal(tensors["psnr"], table["psnr"])
    for given in ({"operator": MissingPixels()}, {"noise": 0.0}):
        with pytest.raises(ValueError, match="operator and noise must be None"):
            compare([est], measured, FACES[:14], **given)


def test_labels_are_for_the_splitter(recorded):
    compare([recorded()], FACES[:6], np.arange(6), cv=2, metrics="psnr")
    assert all(y is None for _, y in recorded.fitted)


def test_comparisons_of_flat_colour_images_in_other_units():
    x = 255 * np.stack([FACES[:14], FACES[:14] ** 2, 1 - FACES[:14]], -1)
    flat = x.reshape(14, -1)
    est = ClassicalReconstructor(GaussianBlur(), noise=9.0, image_shape=(9, 9, 3), data_range=255)
    frame = pd.DataFrame(flat, columns=[f"p{i}" for i in range(flat.shape[1])])
    measured = est.simulate(x[:4], random_state=0)
    expected = values_by_hand(clone(est), (x[4:],), measured, x[:4], data_range=255)
    for X in (x, flat, frame, torch.from_numpy(x)):
        table = compare([est], X, cv=[SPLIT])
        for metric, values in expected.items():
            assert table[metric].item() == pytest.approx(values.mean(), rel=1e-4)


def test_comparisons_read_folders(tmp_path):
    x = (255 * FACES[:6]).astype(np.uint8)
    for i, image in enumerate(x):
        imsave(tmp_path / f"{i}.png", image, check_contrast=False)
    est = ClassicalReconstructor(Inpainting(), noise=0.1)
    lazy, loaded = (compare([est], X, cv=2) for X in (ImageFolder(tmp_path, size=9), x))
    np.testing.assert_array_equal(lazy["psnr"], loaded["psnr"])


def test_names_of_compared_estimators():
    a, b = ClassicalReconstructor(), ClassicalReconstructor(noise=0.1)
    search = GridSearchCV(small(), {"n_inner": [1, 2]}, cv=2)
    options = {"cv": [SPLIT], "metrics": "psnr"}
    for estimators, names in (
        ({"b": b, "a": a}, ["b", "a"]),
        ([("b", b), ("a", a)], ["b", "a"]),
        ([a], ["ClassicalReconstructor"]),
        (
            [a, search, FrozenEstimator(b.fit(FACES))],
            ["ClassicalReconstructor-1", "MetaInverseSolver", "ClassicalReconstructor-2"],
        ),
    ):
        assert [*compare(estimators, FACES[:14], **options).index] == names


def test_frozen_estimators_are_not_fitted_again_and_others_are():
    est = small(Inpainting(), noise=0.1).fit(FACES[30:40])
    weights = {name: w.copy() for name, w in est.weights_.items()}
    table = compare([FrozenEstimator(est), est], FACES[:14], cv=[SPLIT])
    assert table.loc["MetaInverseSolver-1", "psnr"] == pytest.approx(est.score(FACES[:4]))
    refitted = clone(est).fit(FACES[SPLIT[0]]).score(FACES[:4])
    assert table.loc["MetaInverseSolver-2", "psnr"] == pytest.approx(refitted)
    assert (table["fit_seconds"] >= 0).all()
    for name, w in est.weights_.items():
        np.testing.assert_array_equal(w, weights[name])


@pytest.mark.parametrize("fault", ["not fitted", "other shape", "other range"])
def test_frozen_estimators_that_cannot_be_compared_are_refused_before_others_are_fitted(
    fault, monkeypatch
):
    if fault == "not fitted":
        frozen, message = FrozenEstimator(small()), "not fitted yet"
    elif fault == "other shape":
        est = ClassicalReconstructor(GaussianBlur()).fit(FACES[:3, :8, :8])
        frozen, message = FrozenEstimator(est), r"expecting measurements of shape \(8, 8\)"
    else:
        est = small(data_range=255).fit(255 * FACES[:3]).set_params(data_range=None)
        frozen, message = FrozenEstimator(est), "must share one data_range"
    monkeypatch.setattr(ClassicalReconstructor, "fit", lambda *args: pytest.fail("was fitted"))
    with pytest.raises(ValueError, match=message):
        compare([ClassicalReconstructor(GaussianBlur()), frozen], FACES[:14], cv=[SPLIT])


@pytest.mark.parametrize("paired", [False, True])
def test_images_are_read_once_in_a_split_and_not_while_a_prediction_is_timed(
    paired, tmp_path, monkeypatch
):
    for i, image in enumerate(np.uint8(255 * FACES[:6])):
        imsave(tmp_path / f"{i}.png", image, check_contrast=False)
    reads, opened = [], Image.open

    def recorded(file, **options):
        reads.append(Path(file.name).stem)
        return opened(file, **options)

    monkeypatch.setattr(Image, "open", recorded)

    def n_reads(n_estimators):
        reads.clear()
        estimators = {str(i): ClassicalReconstructor(noise=0.1) for i in range(n_estimators)}
        split = [(np.arange(3, 6), np.arange(3))]
        images = ImageFolder(tmp_path, size=9)
        compare(estimators, images, images if paired else None, cv=split, metrics="psnr")
        return [reads.count(str(i)) for i in range(3)]

    assert n_reads(1) == n_reads(3) == [1 + paired] * 3


class Clocked(ClassicalReconstructor):
    """`fit` takes a second per image, the first `predict` 100 seconds, the next ones 0.5."""

    def fit(self, X, y=None):
        type(self).now += len(X)
        type(self).pace = 100.0
        return super().fit(X, y)

    def predict(self, X, **options):
        type(self).now, type(self).pace = type(self).now + self.pace, 0.5
        return super().predict(X, **options)

    def restorations(self, X, y=None, **options):
        type(self).now, type(self).pace = type(self).now + self.pace, 0.5
        return super().restorations(X, y, **options)


def test_costs_are_those_of_a_split_and_of_an_image_once_all_is_built(monkeypatch):
    monkeypatch.setattr(Clocked, "now", 0.0, raising=False)
    monkeypatch.setattr("skmetainv.model_selection.comparison.perf_counter", lambda: Clocked.now)
    splits = [(np.arange(4), np.arange(4, 8)), (np.arange(10), np.arange(10, 16))]
    table = compare([Clocked(noise=0.1)], FACES[:16], cv=splits, metrics="psnr")
    assert table["fit_seconds"].item() == (4 + 10) / 2
    assert table["predict_ms"].item() == 1000 * (0.5 + 0.5) / (4 + 6)


def test_weights_are_those_of_one_fit():
    table = compare([small()], FACES[:6], cv=2, metrics="psnr")
    assert table["n_weights"].item() == small().fit(FACES[:3]).n_weights_


def test_searches_are_compared_by_their_best():
    search = GridSearchCV(small(GaussianBlur()), {"n_inner": [0, 3]}, cv=2)
    table = compare([search], FACES[:14], cv=[SPLIT])
    best = clone(search).fit(FACES[SPLIT[0]]).best_estimator_
    assert table["psnr"].item() == pytest.approx(best.score(FACES[:4]))


def n_learned(**estimators):
    options = {"cv": [SPLIT], "metrics": "psnr"}
    return compare(estimators, FACES[:14], **options)["n_weights"].to_dict()


def test_numbers_of_weights():
    D = DnCNN(depth=3, width=4, max_epochs=1, random_state=0)
    frozen = FrozenEstimator(clone(D).fit(FACES[20:30]))
    own = sum(w.size for w in frozen.estimator.weights_.values())
    plain = small().fit(FACES[:5]).weights_
    meta, tuned = small(solver=HQS(denoiser=D)), small(solver=HQS(denoiser=D), tune_solver=True)
    of_tuned = clone(tuned).fit(FACES[:5]).weights_
    counts = n_learned(
        nothing=ClassicalReconstructor(),
        fitted=ClassicalReconstructor(solver=HQS(denoiser=D)),
        frozen=ClassicalReconstructor(solver=HQS(denoiser=frozen)),
        denoiser=D,
        plain=small(),
        meta=meta,
        tuned=tuned,
        regularized=small(inner_loss=InnerLoss(regularizer=D)),
    )
    n_plain = sum(w.size for w in plain.values())
    assert counts == {
        "nothing": 0,
        "fitted": own,
        "frozen": own,
        "denoiser": own,
        "plain": n_plain,
        "meta": n_plain + own,
        "tuned": sum(w.size for w in of_tuned.values()),
        "regularized": n_plain + own,
    }
    assert counts["tuned"] >= n_plain + own


def test_images_of_several_splits(recorded):
    images = compare([recorded(noise=0.1)], FACES[:6], cv=RepeatedKFold(n_splits=2), per_image=True)
    assert (images["image"].value_counts() == 10).all()
    mask = np.arange(6) < 4
    masked = compare([recorded()], FACES[:6], cv=[(mask, ~mask)], per_image=True)
    assert [*masked["image"]] == [4, 5]
    np.testing.assert_array_equal(recorded.fitted[-1][0], FACES[:4])


@pytest.mark.filterwarnings("error")
def test_standard_errors_that_there_are_not():
    perfect = ClassicalReconstructor(start="measurement", max_iter=1)
    table = compare([perfect], FACES[:4], cv=2, metrics=["psnr", "mse"])
    assert table["psnr"].item() == np.inf
    assert np.isnan(table["psnr_se"].item())
    assert table["mse_se"].item() == 0
    one = compare([ClassicalReconstructor(noise=0.1)], FACES[:4], cv=[([0, 1, 2], [3])])
    assert np.isnan(one[["psnr_se", "ssim_se", "mse_se"]]).all(axis=None)


class NoPandas:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'")


def test_without_pandas_the_table_is_a_dict_of_columns(monkeypatch):
    estimators = {"a": ClassicalReconstructor(), "b": ClassicalReconstructor(max_iter=1)}
    options = {"noise": 0.1, "cv": 2, "metrics": ["ssim", "psnr"]}
    frames = [compare(estimators, FACES[:6], **options, per_image=p) for p in (False, True)]
    monkeypatch.delitem(sys.modules, "pandas")
    monkeypatch.setattr(sys, "meta_path", [NoPandas(), *sys.meta_path])
    table, images = (compare(estimators, FACES[:6], **options, per_image=p) for p in (False, True))
    assert type(table) is type(images) is dict
    assert [*table] == ["name", *frames[0].columns]
    assert table["name"] == ["a", "b"]
    assert images == frames[1].to_dict("list")
    for column in ("ssim", "ssim_se", "psnr", "psnr_se", "n_weights"):
        assert table[column] == frames[0][column].tolist()


@pytest.mark.parametrize(
    ("estimators", "message"),
    [
        ([], "'estimators' parameter of compare must be a dict"),
        ({}, "'estimators' parameter of compare must be a dict"),
        (ClassicalReconstructor(), "'estimators' parameter of compare must be a dict"),
        ([ClassicalReconstructor], "Got ABCMeta: <class"),
        ({"a": make_pipeline(ClassicalReconstructor())}, "Got a: Pipeline"),
        ([GridSearchCV(small(), {}, refit=False)], "searches that refit"),
        ([("a", small()), ("a", small())], "Names provided are not unique: ['a', 'a']"),
        ([small(), small(data_range=255)], "must share one data_range"),
        ([Recording(), small(n_inner=-1)], "'n_inner' parameter of MetaInverseSolver"),
    ],
)
def test_what_cannot_be_compared(estimators, message, recorded):
    with pytest.raises(ValueError, match=re.escape(message)):
        compare(estimators, FACES[:6])
    assert not recorded.fitted


@pytest.mark.parametrize(
    "metrics", ["neg_mse", [], ["psnr", "psnr"], ["psnr", None], {"psnr": psnr}, None]
)
def test_metrics_of_comparisons(metrics):
    with pytest.raises(ValueError, match="'metrics' parameter of compare must be"):
        compare([small()], FACES[:6], metrics=metrics)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"operator": "blur"}, "'operator' parameter"),
        ({"noise": -1.0}, "'noise' parameter"),
        ({"random_state": "seed"}, "'random_state' parameter"),
        ({"groups": [0, 1]}, "inconsistent numbers of samples"),
        ({"cv": "two"}, "Expected `cv`"),
    ],
)
def test_bad_settings_of_comparisons(given, message, recorded):
    with pytest.raises(ValueError, match=message):
        compare([recorded()], FACES[:6], **given)
    assert not recorded.fitted


def test_standard_errors_of_groups():
    values = np.random.default_rng(0).normal(size=60)
    alone = standard_error(values, np.arange(60))
    assert alone == pytest.approx(standard_error(values))
    twice = standard_error(np.repeat(values, 2), np.repeat(np.arange(60), 2))
    assert twice == pytest.approx(alone)
    for too_few in ([], [1.0]):
        assert np.isnan(standard_error(too_few))
    assert np.isnan(standard_error([1.0, 2.0], groups=["a", "a"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_range": 1.0}, "must share one data_range"),
        ({"image_shape": (1, 81)}, "must have the same image shape"),
        (
            {"operator": CompressedSensing(n_measurements=20)},
            "must support the simulated measurements",
        ),
        ({"checkpoint": "run.ckpt"}, "must have checkpoint=None"),
    ],
)
def test_estimators_that_cannot_be_compared_are_refused_before_any_fit(
    change, message, monkeypatch
):
    monkeypatch.setattr(MetaInverseSolver, "fit", lambda *args: pytest.fail("it was fitted"))
    other = small(GaussianBlur()).set_params(**change)
    with pytest.raises(ValueError, match=message):
        compare([small(GaussianBlur()), other], FACES[:6].reshape(6, -1), cv=2)


def test_missing_values_that_an_estimator_does_not_take_are_refused_before_any_fit(monkeypatch):
    monkeypatch.setattr(MetaInverseSolver, "fit", lambda *args: pytest.fail("it was fitted"))
    with pytest.raises(ValueError, match="simulates missing values"):
        compare([small(MissingPixels()), small(Inpainting())], FACES[:6], cv=2)
    holes = FACES[:6].copy()
    holes[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        compare([small(MissingPixels())], holes, cv=2)


def test_an_image_that_is_tested_twice_is_one_image():
    est, test = small(Inpainting()), np.arange(4)
    splits = [(np.arange(4, 8), test), (np.arange(4, 8), test)]
    twice = compare([est], FACES[:8], cv=splits, metrics=["psnr"])
    once = compare([est], FACES[:8], cv=splits[:1], metrics=["psnr"])
    assert twice["psnr_se"].item() == pytest.approx(once["psnr_se"].item())


def test_groups_are_in_the_standard_errors():
    groups = np.repeat(["a", "b", "c", "d"], 3)
    own = {"cv": GroupKFold(2), "groups": groups, "metrics": ["psnr"]}
    table = compare([small(Inpainting())], FACES[:12], **own)
    images = compare([small(Inpainting())], FACES[:12], **own, per_image=True)
    expected = standard_error(images["psnr"], groups[images["image"]])
    assert table["psnr_se"].item() == pytest.approx(expected)


def test_learned_numbers_are_counted():
    denoiser = DnCNN(depth=2, width=3, max_epochs=1)
    n_denoiser = 3 * 9 + 3 + 3 * 9 + 1
    solver = RED(denoiser, n_iter=1)
    classical = ClassicalReconstructor(solver=solver).fit(FACES[:3])
    assert classical.n_weights_ == n_denoiser
    fixed = MAML(step_sizes="fixed")
    meta = small(solver=solver, algorithm=fixed).fit(FACES[:3])
    n_init = 2 * 8 + 8 + 8 * 8 + 8 + 8 + 1 + 1  # a SIREN and the step size
    assert meta.n_weights_ == n_denoiser + n_init
    tuned = small(solver=solver, algorithm=fixed, tune_solver=True).fit(FACES[:3])
    assert tuned.n_weights_ == n_denoiser + n_init + 1  # the penalty
    assert ClassicalReconstructor().fit(FACES[:3]).n_weights_ == 0
    numbers = small(
        solver=HQS(denoiser, n_iter=1), algorithm=MAML(step_sizes="fixed"), tune_solver="auto"
    )
    assert numbers.fit(FACES[:3]).n_weights_ == n_denoiser + n_init + 1  # learned: the penalty


def test_weights_of_the_start_are_counted():
    start = LinearReconstructor().fit(FACES[:3])
    alone = small(init=Siren(width=12, depth=3, residual="adjoint")).fit(FACES[:3])
    est = small(init=Siren(width=12, depth=3, residual=FrozenEstimator(start))).fit(FACES[:3])
    assert start.n_weights_ > 169  # the mean (81 values) and more
    assert est.n_weights_ == alone.n_weights_ + start.n_weights_


def test_weights_of_other_libraries_networks_are_counted():
    class Denoiser(torch.nn.Conv2d):
        def forward(self, x, noise_level):
            return super().forward(x)

    solver = RED(FunctionDenoiser(Denoiser(1, 1, 3, padding=1)), n_iter=1)
    assert ClassicalReconstructor(solver=solver).fit(FACES[:3]).n_weights_ == 10
    frozen = RED(FrozenEstimator(solver.denoiser), n_iter=1)
    assert ClassicalReconstructor(solver=frozen).fit(FACES[:3]).n_weights_ == 10
    unrolled = UnrolledReconstructor(solver=solver, max_epochs=1).fit(FACES[:3])
    assert unrolled.n_weights_ == 11  # with the penalty


def test_weights_that_solver_and_inner_loss_share_are_counted_once():
    D = FrozenEstimator(DnCNN(depth=2, width=3, max_epochs=1).fit(FACES[:3]))
    own = {"algorithm": MAML(step_sizes="fixed"), "solver": RED(D, n_iter=1)}
    alone = small(**own).fit(FACES[:3]).n_weights_
    assert small(**own, inner_loss=InnerLoss(regularizer=D)).fit(FACES[:3]).n_weights_ == alone


def test_every_estimator_says_how_many_weights_it_has():
    """By an attribute after `fit`, which a `FrozenEstimator` passes on."""
    solver = RED(FrozenEstimator(DnCNN(depth=2, width=3, max_epochs=1).fit(FACES[:3])), n_iter=1)
    estimators = [
        small(solver=solver),
        ClassicalReconstructor(solver=solver),
        LinearReconstructor(),
        UnrolledReconstructor(solver=solver, max_epochs=1),
        UNetReconstructor(width=2, max_epochs=1),
        DnCNN(depth=2, width=3, max_epochs=1),
    ]
    for est in estimators:
        assert not hasattr(est, "n_weights_")
        with pytest.raises(NotFittedError):
            est.n_weights_  # noqa: B018
        fitted = clone(est).fit(FACES[:3])
        assert fitted.n_weights_ == FrozenEstimator(fitted).n_weights_ > 0
        assert pickle.loads(pickle.dumps(fitted)).n_weights_ == fitted.n_weights_
    own = sum(weight.size for weight in fitted.weights_.values())
    assert fitted.n_weights_ == own == 3 * 9 + 3 + 3 * 9 + 1

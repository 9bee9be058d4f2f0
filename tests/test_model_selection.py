import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skmetainv import MetaInverseSolver
from skmetainv.datasets import load_faces
from skmetainv.metrics import mse, psnr, ssim
from skmetainv.model_selection import (
    ImageScorer,
    neg_mse_scorer,
    psnr_scorer,
    ssim_scorer,
)
from skmetainv.operators import ForwardMap, GaussianBlur, Inpainting, MissingPixels, Operator
from skmetainv.representations import Siren

FACES = load_faces()[:, ::2, ::2]  # 13 x 13


class Rows(Operator):
    def build(self, image_shape):
        return ForwardMap(image_shape, (1, 1, 1))


def small(operator=None, **options):
    init = Siren(width=12, depth=3)
    return MetaInverseSolver(operator, init=init, max_epochs=1, random_state=0, **options)


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
    assert ssim_scorer(est, x) == pytest.approx(ssim(x, restored, data_range=255), rel=1e-5)
    assert psnr_scorer(est, x) == pytest.approx(psnr(x, restored, data_range=255), rel=1e-5)


def test_the_simulation_of_a_scorer_is_fixed():
    est = small(MissingPixels(), noise=0.1).fit(FACES[:10])
    assert psnr_scorer(est, FACES[:10]) == psnr_scorer(est, FACES[:10])
    other = ImageScorer("psnr", random_state=1)
    assert other(est, FACES[:10]) != psnr_scorer(est, FACES[:10])


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
        (ImageScorer(operator="blur"), "operator"),
        (ImageScorer(noise=-1.0), "noise"),
        (ImageScorer(random_state="seed"), "random_state"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' parameter of ImageScorer"):
            scorer(est, FACES[:3])


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
    with pytest.raises(ValueError, match="Pipeline cannot simulate"):
        psnr_scorer(pipeline, FACES[:9])

"""Displays: their artists and data. Pictures of all of them were looked at."""

import builtins
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from settings import SMALL_FACES, small
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from skmetainv import ClassicalReconstructor, LinearReconstructor, UNetReconstructor
from skmetainv.display import (
    ComparisonDisplay,
    ReconstructionDisplay,
    SearchDisplay,
    StepSizeDisplay,
    TrainingCurveDisplay,
    TrajectoryDisplay,
)
from skmetainv.meta import MAML, PerStep
from skmetainv.metrics import psnr
from skmetainv.model_selection import compare
from skmetainv.operators import (
    CompressedSensing,
    FourierSampling,
    GaussianBlur,
    Inpainting,
    MissingPixels,
    Radon,
)
from skmetainv.solvers import HQS, PrimalDual

matplotlib.use("Agg")
FACES = SMALL_FACES[:8]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def linear():
    return LinearReconstructor(Inpainting()).fit(FACES[2:])


@pytest.fixture(scope="module")
def meta():
    return small(Inpainting(), algorithm="maml", n_inner=2, max_epochs=3).fit(FACES[2:])


def values(ax):
    """The values of the one image in these axes."""
    (image,) = ax.images
    return np.ma.filled(image.get_array(), np.nan)


# ---------------------------------------------------------------------- restored images


def test_columns_are_the_clean_image_the_measurement_and_each_method(linear, meta):
    display = ReconstructionDisplay.from_estimator({"linear": linear, "meta": meta}, FACES[:2])
    assert display.ax_.shape == (2, 4)
    measured = linear.simulate(FACES[:2], random_state=0)
    restored = [linear.predict(measured), meta.predict(measured)]
    for row in range(2):
        expected = [FACES, measured, *restored]
        for ax, images in zip(display.ax_[row], expected, strict=True):
            np.testing.assert_allclose(values(ax), images[row], rtol=1e-6)
            assert ax.images[0].get_clim() == (0.0, 1.0)
    titles = [ax.get_title() for ax in display.ax_[0]]
    assert titles == ["clean", "measured", "linear", "meta"]
    for column, images in zip((2, 3), restored, strict=True):
        scores = psnr(FACES[:2], images, per_image=True)
        shown = [ax.get_xlabel() for ax in display.ax_[:, column]]
        assert shown == [f"{score:.2f} dB" for score in scores]


def test_the_window_is_written_and_never_depends_on_the_values(linear):
    dark = ReconstructionDisplay.from_estimator(linear, FACES[:2] / 4)
    assert {ax.images[0].get_clim() for ax in dark.ax_.flat} == {(0.0, 1.0)}
    assert dark.note_.get_text() == "Intensities from 0 to 1."
    narrow = dark.plot(window=(0.2, 0.4))
    assert narrow is dark
    assert {ax.images[0].get_clim() for ax in narrow.ax_.flat} == {(0.2, 0.4)}
    assert narrow.note_.get_text() == "Intensities from 0.2 to 0.4."


def test_errors_are_absolute_differences_on_one_scale(linear, meta):
    display = ReconstructionDisplay.from_estimator([linear, meta], FACES[:2], errors=True)
    assert display.ax_.shape == (4, 4)
    drawn = {}
    for i in range(2):
        for column in (2, 3):
            error = values(display.ax_[2 * i + 1][column])
            restored = values(display.ax_[2 * i][column])
            np.testing.assert_allclose(error, abs(restored - FACES[i]), atol=1e-6)
            drawn[i, column] = error
    limits = {display.ax_[r][c].images[0].get_clim() for r in (1, 3) for c in (2, 3)}
    ((low, high),) = limits
    assert low == 0.0
    assert high == pytest.approx(max(error.max() for error in drawn.values()))
    assert "absolute error" in [ax.get_ylabel() for ax in display.figure_.axes]


def test_missing_pixels_have_a_colour_of_their_own():
    est = LinearReconstructor(MissingPixels(0.5)).fit(FACES[2:])
    display = ReconstructionDisplay.from_estimator(est, FACES[:1])
    image = display.ax_[0][1].images[0]
    missing = np.isnan(values(display.ax_[0][1]))
    assert 0.2 < missing.mean() < 0.8
    rgb = image.to_rgba(image.get_array(), bytes=False)[..., :3]
    assert np.ptp(rgb[missing], axis=-1).min() > 0.3
    assert np.ptp(rgb[~missing], axis=-1).max() < 1e-6
    assert "Missing values are blue" in display.note_.get_text()


def test_missing_pixels_of_colour_images():
    clean = np.random.default_rng(0).random((1, 6, 6, 3))
    measured = clean.copy()
    measured[0, 2, 3] = np.nan
    display = ReconstructionDisplay.from_predictions(clean, clean, measured=measured)
    shown = values(display.ax_[0][1])
    np.testing.assert_allclose(shown[2, 3], matplotlib.colors.to_rgb("#56B4E9"))
    np.testing.assert_allclose(shown[0, 0], clean[0, 0, 0])


@pytest.mark.parametrize(
    ("operator", "label"),
    [
        (FourierSampling(), "log10 |y|: "),
        (Radon(angles=12), "y: "),
        (CompressedSensing(0.5), "y, 40 samples"),
    ],
)
def test_measurements_that_are_no_images_have_a_scale_of_their_own(operator, label):
    est = LinearReconstructor(operator).fit(FACES[2:])
    ax = ReconstructionDisplay.from_estimator(est, FACES[:1]).ax_[0][1]
    assert ax.get_xlabel().startswith(label)
    y = est.simulate(FACES[:1], random_state=0)[0]
    if label.startswith("log10"):
        np.testing.assert_allclose(
            np.nanmax(values(ax)), np.log10(np.nanmax(np.hypot(y[..., 0], y[..., 1]))), rtol=1e-5
        )
    elif label == "y: ":
        np.testing.assert_allclose(values(ax), y, rtol=1e-5)
    else:
        np.testing.assert_allclose(ax.lines[0].get_ydata(), y, rtol=1e-5)


def test_pairs_and_flat_images(linear):
    measured = linear.simulate(FACES[:2], random_state=3)
    display = ReconstructionDisplay.from_estimator(linear, measured, FACES[:2], metric=None)
    np.testing.assert_allclose(values(display.ax_[1][1]), measured[1], rtol=1e-6)
    assert display.scores_ == {}
    flat = FACES.reshape(len(FACES), -1)
    est = LinearReconstructor(Inpainting(), image_shape=(9, 9)).fit(flat[2:])
    shown = ReconstructionDisplay.from_estimator(est, flat[:1])
    np.testing.assert_allclose(values(shown.ax_[0][0]), FACES[0], rtol=1e-6)


def test_predictions_of_any_kind():
    clean = (255 * FACES[:2]).astype(np.uint8)
    display = ReconstructionDisplay.from_predictions(clean, {"a": FACES[:2]}, metric="ssim")
    assert display.ax_.shape == (2, 2)
    assert display.ax_[0][1].get_xlabel() == "SSIM 1.000"
    with pytest.raises(ValueError, match="'restored' parameter must have at least one method"):
        ReconstructionDisplay.from_predictions(clean, {})
    with pytest.raises(ValueError, match="must have the same shape"):
        ReconstructionDisplay.from_predictions(clean, FACES[:3])


def test_a_display_takes_the_place_of_axes(linear):
    figure, (left, right) = plt.subplots(1, 2)
    display = ReconstructionDisplay.from_estimator(linear, FACES[:2], ax=right)
    assert display.figure_ is figure
    assert not right.axison
    figure.canvas.draw()
    place = right.get_position()
    for ax in display.ax_.flat:
        assert ax.get_position().x0 >= place.x0 - 1e-6
    assert left.axison


# ---------------------------------------------------------------------- inner steps


def test_a_trajectory_has_every_stage(meta):
    display = TrajectoryDisplay.from_estimator(meta, FACES[:3], image=1)
    measured = meta.simulate(FACES[:3], random_state=0)
    stages = list(meta.staged_predict(measured))
    for ax, stage in zip(display.ax_[1:4], stages, strict=True):
        np.testing.assert_allclose(values(ax), stage[1], rtol=1e-6)
    scores = [psnr(FACES[:3], stage, per_image=True) for stage in stages]
    np.testing.assert_allclose(display.scores_, scores, rtol=1e-6)
    np.testing.assert_allclose(display.lines_[1].get_ydata(), display.scores_[:, 1])
    np.testing.assert_allclose(display.lines_[-1].get_ydata(), np.mean(scores, axis=1))
    with pytest.raises(ValueError, match="one estimator with n_inner of at least 1"):
        TrajectoryDisplay.from_estimator(LinearReconstructor().fit(FACES), FACES)


def test_step_sizes_of_each_weight_and_step():
    est = small(n_inner=3, algorithm=MAML(step_sizes="per_parameter")).fit(FACES)
    display = StepSizeDisplay.from_estimator(est)
    names = [line.get_label() for line in display.lines_]
    assert names == [*est.step_sizes_, "initial"]
    for name, line in zip(names, display.lines_, strict=False):
        if name != "initial":
            flat = est.step_sizes_[name].reshape(3, -1)
            np.testing.assert_allclose(line.get_ydata(), np.median(flat, axis=1))
    assert set(display.lines_[-1].get_ydata()) == {est.inner_lr_}
    shared = StepSizeDisplay.from_estimator(small(n_inner=2).fit(FACES))
    assert [line.get_label() for line in shared.lines_] == ["all weights", "initial"]
    with pytest.raises(ValueError, match="n_inner of at least 1"):
        StepSizeDisplay.from_estimator(small(n_inner=0).fit(FACES))


# ---------------------------------------------------------------------- training


def test_training_curves(meta):
    unet = UNetReconstructor(Inpainting(), width=4, depth=1, max_epochs=2).fit(FACES)
    display = TrainingCurveDisplay.from_estimator({"meta": meta, "U-Net": unet})
    first, second = display.lines_
    np.testing.assert_array_equal(first.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(first.get_ydata(), meta.history_["outer_loss"])
    np.testing.assert_array_equal(second.get_ydata(), unet.history_["loss"])
    assert display.ax_.get_yscale() == "log"
    with pytest.raises(ValueError, match="must be a key of the history of U-Net"):
        display.plot(y="inner_loss")
    display = TrainingCurveDisplay.from_estimator(meta, y="inner_loss", x="seconds")
    (line,) = display.lines_
    np.testing.assert_array_equal(line.get_ydata(), np.array(meta.history_["inner_loss"])[:, -1])
    np.testing.assert_array_equal(line.get_xdata(), np.cumsum(meta.history_["seconds"]))
    with pytest.raises(ValueError, match="must be a key of the history of Meta"):
        display.plot(y="accuracy")
    with pytest.raises(ValueError, match="'x' parameter must be 'epochs' or 'seconds'"):
        display.plot(x="hours")
    with pytest.raises(ValueError, match="with a history_"):
        TrainingCurveDisplay.from_estimator(LinearReconstructor().fit(FACES))
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(UNetReconstructor())


def test_validation_scores_come_first():
    est = small(max_epochs=2).fit(FACES[:6], X_val=FACES[6:])
    display = TrainingCurveDisplay.from_estimator(est)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), est.history_["validation_psnr"])
    assert display.ax_.get_ylabel() == "validation PSNR (dB)"


# ---------------------------------------------------------------------- searches and tables


@pytest.fixture(scope="module")
def search():
    est = ClassicalReconstructor(GaussianBlur(), PrimalDual(5), noise=0.02, random_state=0)
    grid = {"solver__weight": [1e-4, 1e-3, 1e-2], "solver__n_iter": [2, 5], "batch_size": [4, 8]}
    return GridSearchCV(est, grid, cv=2).fit(FACES)


def test_a_search_over_two_parameters(search):
    fixed = {"batch_size": 8}
    display = SearchDisplay.from_estimator(search, fixed=fixed)
    assert display.index_.shape == (2, 3)
    drawn = values(display.ax_)
    for (row, column), i in np.ndenumerate(display.index_):
        settings = search.cv_results_["params"][i]
        assert settings["batch_size"] == 8
        assert settings["solver__n_iter"] == [2, 5][row]
        assert settings["solver__weight"] == [1e-4, 1e-3, 1e-2][column]
        assert drawn[row, column] == search.cv_results_["mean_test_score"][i]
    assert display.ax_.get_title() == "batch_size=8"
    assert display.ax_.get_xlabel() == "weight"
    best = np.argwhere(display.index_ == display.best_index_)[0]
    (frame,) = display.ax_.patches
    assert tuple(np.round(frame.get_xy())) == tuple(best[::-1])
    assert drawn.max() == drawn[tuple(best)]


def test_a_search_over_one_parameter(search):
    display = SearchDisplay.from_cv_results(search.cv_results_, "solver__weight")
    line, *_ = display.ax_.containers[0]
    np.testing.assert_allclose(line.get_xdata(), [1e-4, 1e-3, 1e-2])
    means = search.cv_results_["mean_test_score"]
    np.testing.assert_allclose(line.get_ydata(), means[display.index_])
    assert search.best_index_ in display.index_  # the others have the values of the best
    assert display.ax_.get_xscale() == "log"
    assert "n_iter=" in display.ax_.get_title()


def test_what_a_search_does_not_have(search):
    with pytest.raises(ValueError, match="must be one or two of"):
        SearchDisplay.from_estimator(search)
    with pytest.raises(ValueError, match="must be one or two of"):
        SearchDisplay.from_estimator(search, "solver__wait")
    with pytest.raises(ValueError, match="No candidate of the search"):
        SearchDisplay.from_estimator(search, "solver__weight", fixed={"batch_size": 5})
    with pytest.raises(ValueError, match="'score' parameter must be among"):
        SearchDisplay.from_estimator(search, "solver__weight", score="ssim")
    with pytest.raises(NotFittedError):
        SearchDisplay.from_estimator(GridSearchCV(LinearReconstructor(), {"noise": [0.1]}))


def test_a_comparison(linear):
    task = {"operator": GaussianBlur(), "noise": 0.02}
    estimators = {
        "linear": LinearReconstructor(**task),
        "total variation": ClassicalReconstructor(**task, solver=PrimalDual(5)),
    }
    table = compare(estimators, FACES, cv=2)
    display = ComparisonDisplay.from_table(table, x="fit_seconds")
    for drawn, name in zip(display.containers_, estimators, strict=True):
        point, _, (bars,) = drawn
        assert drawn.get_label() == name
        assert point.get_xydata()[0] == pytest.approx(
            (table.loc[name, "fit_seconds"], table.loc[name, "psnr"])
        )
        (low, high) = bars.get_segments()[0][:, 1]
        assert high - low == pytest.approx(4 * table.loc[name, "psnr_se"])
    assert display.ax_.get_ylabel() == "PSNR (dB)"
    by_column = {"name": [*table.index]} | {c: [*table[c]] for c in table}
    same = ComparisonDisplay.from_table(by_column, metric="ssim")
    assert [d.get_label() for d in same.containers_] == [*estimators]
    with pytest.raises(ValueError, match="must be columns of the table"):
        ComparisonDisplay.from_table(table, metric="lpips")


def test_an_infinite_score_is_said_not_drawn():
    table = {
        "name": ["exact", "other"],
        "psnr": [np.inf, 20.0],
        "psnr_se": [np.nan, 1.0],
        "predict_ms": [1.0, 2.0],
    }
    display = ComparisonDisplay.from_table(table)
    display.figure_.canvas.draw()
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["exact (inf, not drawn)", "other"]


def test_without_matplotlib_an_error_says_what_to_install(linear, monkeypatch):
    imported = builtins.__import__

    def refuse(name, *args, **options):
        if name.partition(".")[0] == "matplotlib":
            raise ImportError(name)
        return imported(name, *args, **options)

    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r'pip install "skmetainv\[plot\]"'):
        ReconstructionDisplay.from_estimator(linear, FACES[:1])


def test_axes_without_a_grid_cannot_be_divided(linear):
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match="'ax' parameter must be one of the axes"):
        ReconstructionDisplay.from_estimator(linear, FACES[:1], ax=ax)


# ---------------------------------------------------------------------- what people bring


def test_noisy_measurements_share_the_window():
    est = LinearReconstructor(noise=0.5).fit(FACES[2:])
    display = ReconstructionDisplay.from_estimator(est, FACES[:3])
    for ax in display.ax_[:, 1]:
        assert ax.images[0].get_clim() == (0.0, 1.0)
        assert ax.get_xlabel() == ""


def test_sinograms_share_a_scale_of_their_own():
    est = LinearReconstructor(Radon(angles=12)).fit(FACES[2:])
    display = ReconstructionDisplay.from_estimator(est, FACES[:3] / 10)
    y = est.simulate(FACES[:3] / 10, random_state=0)
    for ax in display.ax_[:, 1]:
        assert ax.images[0].get_clim() == pytest.approx((y.min(), y.max()))
        assert ax.get_xlabel() == f"y: {y.min():.3g} to {y.max():.3g}"


def test_coils_are_combined_by_the_root_of_the_sum_of_squares():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(1, 6, 6, 4)) + 1j * rng.normal(size=(1, 6, 6, 4))
    y[0, 0, 0] = 0
    clean = rng.random((1, 6, 6))
    ax = ReconstructionDisplay.from_predictions(clean, clean, measured=y).ax_[0][1]
    expected = np.sqrt((np.abs(y[0]) ** 2).sum(-1))
    expected = np.log10(np.maximum(expected, expected.max() / 1e6))
    np.testing.assert_allclose(values(ax), expected)
    assert ax.get_xlabel() == f"log10 |y|: {expected.min():.3g} to {expected.max():.3g}"


def test_real_and_imaginary_parts_are_drawn_as_magnitude():
    clean = np.random.default_rng(0).random((1, 6, 6, 2))
    ax = ReconstructionDisplay.from_predictions(clean, clean, metric=None).ax_[0][0]
    np.testing.assert_allclose(values(ax), np.hypot(clean[0, ..., 0], clean[0, ..., 1]))


@pytest.mark.parametrize("kind", ["channels first", "uint8", "masked", "tensor"])
def test_measurements_of_any_kind(kind):
    clean = np.random.default_rng(0).random((2, 9, 9, 3))
    as_given = {
        "channels first": lambda x: np.moveaxis(x, -1, 1),
        "uint8": lambda x: (255 * x).round().astype(np.uint8),
        "masked": lambda x: np.ma.masked_array(x, x > 2),
        "tensor": lambda x: torch.from_numpy(x).requires_grad_(),
    }[kind]
    display = ReconstructionDisplay.from_predictions(
        as_given(clean) if kind == "uint8" else clean, clean, measured=as_given(clean)
    )
    np.testing.assert_allclose(values(display.ax_[1][1]), clean[1], atol=0.002)


def test_masked_measurements_are_missing():
    y = np.ma.masked_array(FACES[:1], FACES[:1] > 0.5)
    display = ReconstructionDisplay.from_predictions(FACES[:1], FACES[:1], measured=y)
    np.testing.assert_array_equal(np.isnan(values(display.ax_[0][1])), y.mask[0])
    assert "Missing" in display.note_.get_text()


def test_measurements_of_another_number_are_refused():
    with pytest.raises(ValueError, match="'measured' parameter must hold 2 measurements"):
        ReconstructionDisplay.from_predictions(FACES[:2], FACES[:2], measured=FACES[:3])


def test_other_units_of_images():
    est = LinearReconstructor(Inpainting(), data_range=(-1.0, 1.0)).fit(2 * FACES[2:] - 1)
    display = ReconstructionDisplay.from_estimator(est, 2 * FACES[:1] - 1, errors=True)
    assert display.ax_[0][0].images[0].get_clim() == (-1.0, 1.0)
    assert display.note_.get_text() == "Intensities from -1 to 1."
    y = est.simulate(2 * FACES[:1] - 1, random_state=0)
    score = psnr(2 * FACES[:1] - 1, est.predict(y), data_range=(-1, 1))
    assert display.ax_[0][2].get_xlabel() == f"{score:.2f} dB"
    with pytest.raises(ValueError, match="must share one data_range"):
        ReconstructionDisplay.from_estimator(
            {"a": est, "b": LinearReconstructor().fit(FACES)}, FACES[:1]
        )


def test_the_seed_of_the_simulation():
    est = LinearReconstructor(MissingPixels(0.5)).fit(FACES[2:])
    shown = [
        values(ReconstructionDisplay.from_estimator(est, FACES[:1], random_state=k).ax_[0][1])
        for k in (0, 0, 1)
    ]
    np.testing.assert_array_equal(shown[0], shown[1])
    assert (np.isnan(shown[0]) != np.isnan(shown[2])).any()


def test_errors_of_colours_are_averaged_after_the_absolute_value():
    clean = np.full((1, 4, 4, 3), 0.5)
    restored = clean + np.array([0.2, -0.2, 0.0])
    display = ReconstructionDisplay.from_predictions(clean, restored, errors=True)
    np.testing.assert_allclose(values(display.ax_[1][1]), 0.4 / 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (1, 0)}, "'window' parameter must be two finite numbers"),
        ({"window": 1}, "'window' parameter must be two finite numbers"),
        ({"metric": "rmse"}, "'metric' parameter must be a str among"),
        ({"metric": ["psnr"]}, "'metric' parameter must be a str among"),
    ],
)
def test_errors_name_the_parameter(linear, options, message):
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(linear, FACES[:1], **options)


def test_an_unfitted_search_and_others_are_refused(linear):
    search = GridSearchCV(linear, {"noise": [0.1]})
    for display in (ReconstructionDisplay, TrainingCurveDisplay):
        arguments = (FACES[:1],) if display is ReconstructionDisplay else ()
        with pytest.raises(NotFittedError):
            display.from_estimator(search, *arguments)
        with pytest.raises(ValueError, match="'estimator' parameter of"):
            display.from_estimator([], *arguments)


def test_a_search_as_estimator(linear):
    search = GridSearchCV(LinearReconstructor(Inpainting()), {"noise": [0.0, 0.1]}, cv=2)
    search.fit(FACES[2:])
    display = ReconstructionDisplay.from_estimator(search, FACES[:1])
    measured = search.best_estimator_.simulate(FACES[:1], random_state=0)
    np.testing.assert_allclose(values(display.ax_[0][2]), search.predict(measured)[0], rtol=1e-6)


def test_many_inner_steps():
    est = small(n_inner=20).fit(FACES)
    display = TrajectoryDisplay.from_estimator(est, FACES[:2], image=1)
    assert len(display.ax_) == 1 + 8 + 1
    titles = [ax.get_title() for ax in display.ax_[:-1]]
    assert titles[:2] == ["clean", "start"]
    assert titles[-1] == "step 20"
    np.testing.assert_allclose(values(display.ax_[0]), FACES[1], rtol=1e-6)
    assert display.lines_[1].get_label() == "the image above"
    with pytest.raises(ValueError, match="'image' parameter must be an index of 2 images"):
        display.plot(image=2)


def test_step_sizes_are_those_of_the_rule():
    rule = MAML(step_sizes=PerStep(positive=True))
    est = small(n_inner=2, algorithm=rule, inner_lr=0.5).fit(FACES)
    (alpha,) = (v for name, v in est.weights_.items() if name.startswith("inner_lr."))
    est.set_params(n_inner=3)
    for sizes in est.step_sizes_.values():
        np.testing.assert_allclose(sizes, np.exp([alpha[0], alpha[1], alpha[1]]))


def results(params, means):
    means = np.array(means, dtype=float)
    return {"params": params, "mean_test_score": means, "std_test_score": np.full(len(means), 0.5)}


def test_a_random_search_is_drawn_as_points():
    rng = np.random.default_rng(0)
    params = [{"a__x": float(x), "b": float(b)} for x, b in rng.random((12, 2))]
    found = results(params, range(12))
    display = SearchDisplay.from_cv_results(found)
    points = display.ax_.collections[0]
    np.testing.assert_allclose(points.get_offsets(), [[p["b"], p["a__x"]] for p in params])
    np.testing.assert_array_equal(points.get_array(), range(12))
    assert display.best_index_ == 11
    one = SearchDisplay.from_cv_results(found, "a__x")
    assert len(one.index_) == 12
    assert one.ax_.get_title() == ""


def test_a_list_of_grids_and_missing_cells():
    params = [{"x": 1, "y": "a"}, {"x": 2, "y": "a"}, {"x": 1, "y": "b"}, {"z": 3}]
    display = SearchDisplay.from_cv_results(results(params, [1, 2, 3, 4]), ["x", "y"])
    np.testing.assert_array_equal(display.index_, [[0, 2], [1, -1]])
    assert np.isnan(values(display.ax_)[1, 1])
    assert display.best_index_ == 2
    assert len(display.ax_.texts) == 3
    assert display.ax_.images[0].get_clim() == (1, 4)


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        (np.arange(11, 0, -5), [1, 6, 11]),
        ([True, 1, 0], None),
        ([None, "auto", HQS()], None),
        ([np.ones(2), np.ones(3), 1], None),
    ],
)
def test_values_of_any_type(given, drawn):
    display = SearchDisplay.from_cv_results(results([{"p": v} for v in given], [1, 2, 3]), "p")
    line, _, (bars,) = display.ax_.containers[0]
    assert len(line.get_xdata()) == 3
    for segment in bars.get_segments():
        assert np.ptp(segment[:, 1]) == pytest.approx(1.0)  # the deviation to either side
    if drawn is None:
        assert [t.get_text() for t in display.ax_.get_xticklabels()] == [str(v) for v in given]
    else:
        np.testing.assert_array_equal(line.get_xdata(), drawn)


def test_scores_that_are_not_finite():
    params = [{"x": x, "y": y} for x in (1, 2) for y in (1, 2)]
    display = SearchDisplay.from_cv_results(results(params, [1, np.nan, np.inf, 3]))
    assert display.best_index_ == 3
    assert display.ax_.images[0].get_clim() == (1, 3)
    assert [t.get_text().split()[0] for t in display.ax_.texts] == ["1", "failed", "inf", "3"]
    none = SearchDisplay.from_cv_results(results(params, [np.nan] * 4))
    assert none.best_index_ == -1
    assert not none.ax_.patches
    line = SearchDisplay.from_cv_results(results([{"x": 1}, {"x": 2}], [np.nan, 1]), "x")
    failed = next(x for x in line.ax_.lines if x.get_label() == "failed")
    np.testing.assert_array_equal(failed.get_xdata(), [1])


def test_estimators_without_weights_are_at_zero(linear):
    table = {
        "name": ["a", "b"],
        "psnr": [20.0, 21.0],
        "psnr_se": [0.1, 0.1],
        "n_weights": [0, 1000],
        "predict_ms": [0.1, 20.0],
    }
    assert ComparisonDisplay.from_table(table, x="n_weights").ax_.get_xscale() == "symlog"
    assert ComparisonDisplay.from_table(table).ax_.get_xscale() == "log"
    del table["psnr_se"]
    with pytest.raises(ValueError, match="must have psnr_se"):
        ComparisonDisplay.from_table(table)

"""Scores and comparisons of reconstructions: scikit-learn scorers, and a table of estimators."""

from skmetainv.model_selection.comparison import compare
from skmetainv.model_selection.scorers import (
    ImageScorer,
    lpips_scorer,
    neg_mse_scorer,
    psnr_scorer,
    ssim_scorer,
)
from skmetainv.model_selection.standard_errors import standard_error

__all__ = [
    "ImageScorer",
    "compare",
    "lpips_scorer",
    "neg_mse_scorer",
    "psnr_scorer",
    "ssim_scorer",
    "standard_error",
]

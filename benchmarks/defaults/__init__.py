"""The literal line, all else at its default, beside classical methods at their best.

    python -m benchmarks.defaults [--images FOLDER] [--rows blur-red ...] [--seeds 0 1 ...]

``MetaInverseSolver(operator=..., solver=..., n_inner=3, outer_loss='l2')``, with the noise and a
seed beside, is fitted to 80 of scikit-image's faces (25 x 25 pixels) and restores the other 20;
with a folder of Labeled Faces in the Wild also to 300 pictures of 32 x 32 pixels, and restores 100
of other people. Each seed is another split. All methods restore the same measurements.

Classical methods have an advantage: the number of updates of the solver alone (1 to 200), and the
weight of total variation (quarters of a decade), are those that are best on the test images.
Biharmonic filling is for missing pixels, the pseudo-inverse for the other problems. `--learned`
adds networks at their defaults, which the verdict leaves out: a U-Net, an unrolled solver, and for
denoising DnCNN and DRUNet.

The verdict compares the literal line with the best classical method of its row. The difference is
paired, image by image. Its standard error is the larger one of two: that of the means of the seeds,
and that over images, where those of one person (or one face, in several test sets) are one group.
"behind": by more than its error; "ahead": by more than twice its error.

`--grid` tries 20 settings of the literal line, drawn once, with one seed, and scores them on
the test images; `--grid unet` those of the U-Net, and so on.

What is measured goes into `results/defaults.json` at once, and is not measured again with the same
settings, whatever has changed in the library since: `--again` does so, `--methods literal --again`
for the literal line alone. Several processes may write at a time. `--markdown` prints the tables of
what was measured, and measures nothing. `--quick` only tries whether everything runs.
"""

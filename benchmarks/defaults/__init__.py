"""The literal line, with default parameters, compared with classical methods at their best.

    python -m benchmarks.defaults [--images FOLDER] [--rows blur-red ...] [--seeds 0 1 ...]

The literal line is ``MetaInverseSolver(operator=..., solver=..., n_inner=3, outer_loss='l2')`` with
the noise and a seed. It is fitted to 80 of scikit-image's faces (25 x 25 pixels) and restores the
other 20. With a folder of Labeled Faces in the Wild it is also fitted to 300 images of 32 x 32
pixels, and restores 100 images of other people. Each seed has its own split. All methods restore
the same measurements.

Classical methods have an advantage: the number of updates of the solver alone (1 to 200) and the
weight of total variation (in quarters of a decade) are chosen on the test images. Biharmonic
filling is for missing pixels, the pseudo-inverse for the other problems. `--learned` adds networks
with default parameters, which are not part of the verdict: a U-Net, an unrolled solver, and for
denoising DnCNN and DRUNet.

The verdict compares the literal line with the best classical method of its row. The difference is
paired by image. Its standard error is the larger of two: over the means of the seeds, and over
images grouped by person (or by face, because several test sets may share a face). "behind" means
worse by more than this error, "ahead" better by more than twice the error, "level" all else.

`--grid` tries 20 settings of the literal line with the first seed, and scores them on the test
images. The settings are random, but always the same. `--grid unet` does the same for the U-Net, and
so on.

`--starts` changes one part of the default start at a time, with the first seed: no refiner; `A'y`
in place of the linear estimate (the refiner then reads the mask, as there is no uncertainty); all
weights of the SIREN adapted instead of the last layer; shifts of its units adapted instead; and a
SIREN alone, without the linear estimate and the refiner.

Each result is written to `results/defaults.json` when it is measured, and its values per image to
`results/defaults.npz`. Results with the same settings are not measured again, even if the library
has changed. `--again` measures them again, `--methods literal --again` only the literal line.
Several processes can write at the same time.
`--markdown` only prints the tables of existing results. `--quick` only checks that everything runs.
"""

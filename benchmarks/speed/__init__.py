"""Time of meta-training and restoring, compared with plain scripts, and as a share of arithmetic.

    python -m benchmarks.speed [--rows NAME ...] [--device cuda] [--curve SECONDS]

Each row is a setting like one of the paper. Our estimator and plain scripts compute the same: their
outer losses of two steps (in `predict`, a restored image) are compared first. The scripts use
`higher`, image by image, or nested `torch.func.grad` (with `vmap` on a GPU), always in float32.
They compute all pixels; inner steps of ours compute only those that are observed (Table 2). Runs
alternate, and the first step of a run does not count. A ratio is their time divided by ours in one
round (above 1: ours is faster). The table has the median of the rounds, with the lowest and the
highest.

"share" is the least time of the arithmetic, divided by our time. It is the number of operations in
matrix products (in Table 3 and `predict` those of `higher`'s script, with convolutions, as torch
counts them), at the rate of one large product in the same precision. The rate is measured in the
same round. In Table 2 only products at observed pixels count. The count takes every image apart. In
Table 1 at 32 x 32 the images share the values of the first inner step, which saves 2 %; the share
there is too high by this.

The row `ModulatedSiren` has no script. It is compared with the full SIREN in our estimator.

Three rows have one update of a solver and DeepInverse's. The denoiser is total variation, with 50
updates in both; ours is another algorithm. DeepInverse keeps its result as the next start.

The row "memory" compares a step of `higher` with ours, which recomputes none, a share or all of its
inner steps.

`--curve` trains the paper's SIREN by `higher` and by the estimator for the same number of seconds,
on 80 faces, and prints the PSNR of the 20 others over time.
"""

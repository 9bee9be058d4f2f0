"""Time of meta-training and restoring, compared with plain scripts, and as a share of arithmetic.

    python -m benchmarks.speed [--rows NAME ...] [--device cuda] [--curve SECONDS]

Each row is one setting of the paper or one kind of solver update. Our estimator and plain scripts
compute the same: their outer losses are compared first. The scripts use `higher`, or `torch.func`;
solver updates are compared with DeepInverse. Runs alternate, and the first step of a run does not
count. A ratio is their time divided by ours in one round (above 1: ours is faster). The table has
the median of the rounds, with the lowest and the highest. "share" is the time of the matrix
products alone, at the rate of one large product, divided by our time. The rate is measured in the
same round.

`--curve` trains the paper's SIREN by `higher` and by the estimator for the same number of seconds,
on 80 faces, and prints the PSNR of the 20 others over time.
"""

"""The paper's experiments: Tables 1 to 4, each in one command.

    python -m benchmarks.paper --table 1 --images FOLDER --preset quick --seed 0

trains every column of the table and restores the test images. It prints the table in the paper's
layout, with the paper's values beside ours, and writes CSV, JSON and PNG to ``results/paper``.
Trained estimators and restored images are kept in ``--work``, so that an interrupted run resumes. A
column whose training was interrupted resumes from its last checkpoint. ``--preset full`` has the
paper's settings, for CelebA and a GPU; ``quick`` runs on two cores (see `settings`). ``--tune
short`` trains candidates of a table on a few images, and ``--tune long`` trains other candidates on
all. Both score them on validation images. ``--claims`` reads the results of all seeds and tests the
paper's claims.
"""

"""The paper's experiments: Tables 1 to 4, each in one command.

    python -m benchmarks.paper --table 1 --images FOLDER --preset quick --seed 0

trains every column of the table, restores the test pictures, prints the table as the paper lays
it out with the paper's figures beside ours, and writes CSV, JSON and PNG to ``results/paper``.
What is trained and restored is kept in ``--work``: an interrupted run goes on where it was, within
a column from its last checkpoint. ``--preset full`` is the paper's own setting, for CelebA and a
GPU; ``quick`` runs on two cores (see `settings`). ``--tune short`` trains the candidates of a table
on a few pictures, ``--tune long`` others on all; they are scored on validation pictures.
``--claims`` reads the results of all seeds and says what they show of the paper's claims.
"""

"""Random wrong parameters and arrays for every public class, and what the library does.

    python -m benchmarks.fuzz [--cases N] [--seed N]

A case about *parameters* sets one parameter of a class to a random value of any type. The object is
then used in an estimator that fits and restores images. A case about *arrays* passes images that
are damaged, or of an unusual type or shape, to a method of an estimator. `hypothesis` draws the
cases; the same seed draws the same ones.

There are four outcomes. "right": the images are finite, and a clone of the estimator restores the
same ones to the last bit (for operators, the adjoint is also compared). "announced": they are not
finite, and there was a warning. "refused": an error that contains the name of the parameter or its
class (for arrays, the word image or measurement, or the name of the argument). Everything else is a
"fault": errors of other libraries and Python, errors that name nothing, changes of global state.

Positive integers are at most 5, because a million updates is a valid request that does not end in
time. LPIPS has random weights, and downloads nothing.
"""

import time

import torch

from benchmarks import record
from benchmarks.command_line import command_line
from benchmarks.fuzz import cases

KINDS = ("parameters", "arrays")


def main(argv=None):
    parser = command_line(__doc__, prog="python -m benchmarks.fuzz")
    parser.add_argument("--cases", type=int, default=10_000, help="number of cases of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    results = {}
    for kind in KINDS:
        began = time.perf_counter()
        counts, faults = cases.run(kind, options.cases, options.seed)
        results[kind] = {"counts": counts, "seconds": round(time.perf_counter() - began, 1)}
        results[kind]["faults"] = [list(fault) for fault in faults.values()]
        print(f"{kind}: {counts}")
        for case, message in faults.values():
            print(f"    {case}: {message}")
    tried = {"classes": sorted(cases.SUBJECTS), "estimators": sorted(cases.ESTIMATORS)}
    record.save("fuzz", {"cases": options.cases, "seed": options.seed, **tried}, results)


if __name__ == "__main__":
    main()

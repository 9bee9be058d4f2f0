"""The command line of `benchmarks.defaults`."""

import sys
import tempfile
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks import defaults
from benchmarks.command_line import command_line
from benchmarks.defaults import grid, report
from benchmarks.defaults.methods import QUICK, Effort, methods
from benchmarks.defaults.problems import DATA, ROWS, problem
from benchmarks.defaults.store import Store
from benchmarks.record import RESULTS

_QUICK_TRAINING, _QUICK_TEST = 20, 4


def parsed(argv):
    parser = command_line(defaults.__doc__, prog="python -m benchmarks.defaults")
    parser.add_argument("--images", help="folder of Labeled Faces in the Wild")
    parser.add_argument("--data", nargs="+", choices=DATA, help="default: lfw only with --images")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--methods", nargs="+", help="literal, linear, solver, tv, filling, ...")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--learned", action="store_true", help="also train networks")
    searches = parser.add_mutually_exclusive_group()
    searches.add_argument(
        "--grid",
        nargs="?",
        choices=grid.NAMES,
        const=grid.NAMES[0],
        help="try 20 settings of an estimator (default: the literal line), with the first seed",
    )
    searches.add_argument(
        "--starts",
        action="store_true",
        help="other starts of the literal line, with the first seed",
    )
    parser.add_argument("--again", action="store_true", help="measure existing results again")
    parser.add_argument("--quick", action="store_true", help="few images and one epoch, not saved")
    parser.add_argument("--markdown", action="store_true", help="print tables, measure nothing")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--results", default=RESULTS / "defaults.json", help="JSON file")
    args = parser.parse_args(argv)
    if args.data is None:
        args.data = [name for name in DATA if name == "faces" or args.images]
    if "lfw" in args.data and not args.images and not args.markdown:
        parser.error("--data lfw needs --images")
    return args


def measure(args, store, effort):
    """Measure the results that are not stored yet, seed by seed; return the number of failures."""
    n_failed = 0
    for seed in args.seeds[:1] if args.grid or args.starts else args.seeds:
        for data in args.data:
            images = DATA[data](seed, args.images)
            if args.quick:
                images = quick(images)
            for name in args.rows:
                own = problem(data, name, seed, images)
                for method in chosen(args, store, own, effort):
                    try:
                        measured(store, own, method, args.again)
                    except Exception:  # continue with the other rows of a long run
                        n_failed += 1
                        print(f"{data} {name} seed {seed} {method.name} failed:", file=sys.stderr)
                        traceback.print_exc()
    return n_failed


def chosen(args, store, own, effort):
    """Yield the methods to measure; with a grid, measure the defaults, then yield its settings."""
    found = methods(own, effort)
    if args.grid:
        if args.grid not in found:  # a denoiser, but the row is not denoising
            return
        default = measured(store, own, found[args.grid], again=False)
        found = {method.name: method for method in grid.methods(args.grid, own, default, effort)}
    for name, method in found.items():
        if name in report.STARTS or args.starts:
            asked = args.starts and name in report.STARTS
        else:
            asked = args.learned or args.grid or name not in report.LEARNED
        if name in args.methods if args.methods else asked:
            yield method


def measured(store, own, method, again):
    """Return the results of a method, measured now or earlier."""
    key = {"data": own.data, "row": own.name, "seed": own.seed, "method": method.name}
    known = [f for f in store.figures(**key) if f["settings"] == method.settings]
    if known and not again:
        return known[0]
    figures = method.measure()
    groups = np.asarray(own.images.test_groups).tolist()
    figures = store.add({**key, "settings": method.settings, **figures}, groups)
    print(report.line(figures), flush=True)
    return figures


def quick(images):
    """Return a few images of each part."""
    n, m = _QUICK_TRAINING, _QUICK_TEST
    groups = None if images.groups is None else images.groups[:n]
    return images._replace(
        training=images.training[:n],
        groups=groups,
        test=images.test[:m],
        test_groups=images.test_groups[:m],
    )


def main(argv=None):
    args = parsed(argv)
    store, n_failed = Store(args.results), 0
    with tempfile.TemporaryDirectory() as folder:
        if args.quick:
            store = Store(Path(folder) / "defaults.json")
        if not args.markdown:
            torch.set_num_threads(args.threads)
            with threadpool_limits(args.threads):
                n_failed = measure(args, store, QUICK if args.quick else Effort())
        tables = partial(report.grid_table, args.grid) if args.grid else report.table
        tables = report.starts_table if args.starts else tables
        for data in args.data:
            print("\n" + tables(store, data, args.rows, args.seeds, markdown=args.markdown))
    return f"{n_failed} measurements failed, see above." if n_failed else None


if __name__ == "__main__":
    sys.exit(main())

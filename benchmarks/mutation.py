"""Small faults in the code, one at a time, and which of them no test notices.

    python -m benchmarks.mutation [--places N] [--seed N] [--survivors]

A mutation changes one place in a solver, a map, an algorithm, a loss or a metric: it flips a sign,
swaps a product and a quotient, adds 1 to an integer, doubles a float, weakens or turns a
comparison, swaps `and` and `or`, or drops a `not`. It then runs the tests that execute the line,
the fastest ones first, until one fails that passes without the mutation. The outcome is the name of
this test, "did not end", "import failed" or "survived".

First, the whole suite is run once to learn which test executes which line. It takes twenty minutes;
with `--folder`, its result is kept. A line that runs only when the module is imported, such as a
default, is tried on all tests of its file. Each result is saved when it is there, and a later call
with the same seed goes on. `--survivors` tries the places that survived again. Several calls can
share the work: `--part 0 2` and `--part 1 2`.
"""

import ast
import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from importlib.machinery import SourceFileLoader
from pathlib import Path

import numpy as np

from benchmarks import record
from benchmarks.command_line import command_line

ROOT = Path(__file__).parents[1]
FILES = (
    "solvers/*.py",
    "operators/maps/*.py",
    "meta/algorithm*.py",
    "meta/maml.py",
    "meta/reptile.py",
    "meta/imaml.py",
    "meta/inner_loss.py",
    "meta/step_sizes.py",
    "losses/*.py",
    "metrics/*.py",
)
#: The most seconds that the tests of one mutation may take, as measured without mutation.
_BUDGET = 60.0
#: Seconds after which the tests of a mutation are ended.
_LIMIT = 240

_SWAPS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}

# ---------------------------------------------------------------------- places


def places(path):
    """Return the indices of the nodes of a file that can be mutated, in the order of `ast.walk`."""
    tree = ast.parse(path.read_text())
    left_out = {id(node) for node in _not_run(tree)}
    return [
        index
        for index, node in enumerate(ast.walk(tree))
        if id(node) not in left_out and _is_place(node)
    ]


def _not_run(tree):
    """Yield the nodes that are not run or say nothing: annotations and messages."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                yield from ast.walk(getattr(node, name))
        if isinstance(node, ast.Raise | ast.JoinedStr):
            yield from ast.walk(node)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "warn":
            yield from ast.walk(node)


def _is_place(node):
    if isinstance(node, ast.BinOp):
        # adding strings, lists or types is no arithmetic
        parts = (node.left, node.right)
        return type(node.op) in _SWAPS and not any(
            isinstance(part, ast.List | ast.Tuple | ast.JoinedStr) for part in parts
        )
    if isinstance(node, ast.Compare):
        return type(node.ops[0]) in _SWAPS
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub | ast.Not)
    if isinstance(node, ast.Constant):
        return type(node.value) in (int, float) and node.value != float("inf")
    return isinstance(node, ast.BoolOp)


def mutated(path, index):
    """Return the code of a file with one node changed, the line of the node, and the change."""
    tree = ast.parse(path.read_text())
    node = list(ast.walk(tree))[index]
    before = ast.unparse(node)
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = _SWAPS[type(node.op)]()
    elif isinstance(node, ast.Compare):
        node.ops[0] = _SWAPS[type(node.ops[0])]()
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1 if type(node.value) is int else (2 * node.value or 1.0)
    else:
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else node.op
        if isinstance(node.op, ast.Not):  # drop it: negate once more
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    return ast.unparse(ast.fix_missing_locations(tree)), node.lineno, [before, ast.unparse(node)]


def chosen(n, seed):
    """Return `n` places, as pairs of a path and an index; every file has one, if it has any."""
    rng, by_file = np.random.default_rng(seed), {}
    for pattern in FILES:
        for path in sorted((ROOT / "skmetainv").glob(pattern)):
            found = places(path)
            if found:
                by_file[path] = list(rng.permutation(found))
    first = [(path, found.pop()) for path, found in by_file.items()]
    others = [(path, index) for path, found in by_file.items() for index in found]
    more = rng.permutation(len(others))[: max(0, n - len(first))]
    return [(path, int(index)) for path, index in [*first, *(others[i] for i in more)]]


# ---------------------------------------------------------------------- tests


def tests_by_line(folder):
    """Return the tests that execute each line, and the seconds of each test."""
    data, durations = Path(folder) / "coverage", Path(folder) / "durations.xml"
    if not data.exists():
        _run_suite(data, durations)
    return _by_line(data), _seconds(durations)


def _run_suite(data, durations):
    """Run the whole suite, and record which test executes which line."""
    settings = data.with_suffix(".ini")
    settings.write_text(f"[run]\nsource = skmetainv\ndata_file = {data}\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--cov", "--cov-context=test"),
            *(f"--cov-config={settings}", "--cov-report=", f"--junitxml={durations}"),
            *("--deselect=tests/test_fuzz.py", "--deselect=tests/test_faults.py"),
        ],
        cwd=ROOT,
        check=True,
    )


def _by_line(data):
    """Read coverage's database: {path: {line: set of tests}}."""
    from coverage.numbits import numbits_to_nums

    found = defaultdict(lambda: defaultdict(set))
    with sqlite3.connect(data) as database:
        rows = database.execute(
            "select path, context, numbits from line_bits "
            "join file on file.id = file_id join context on context.id = context_id"
        )
        for path, context, bits in rows:
            if context:
                for line in numbits_to_nums(bits):
                    found[Path(path)][line].add(context.rpartition("|")[0])
    return found


def _seconds(durations):
    seconds = {}
    for case in ElementTree.parse(durations).iter("testcase"):
        parts = case.get("classname").split(".")
        for n in range(len(parts), 0, -1):  # a class of tests follows the module
            path = "/".join(parts[:n]) + ".py"
            if (ROOT / path).exists():
                name = "::".join([path, *parts[n:], case.get("name")])
                seconds[name] = float(case.get("time"))
                break
    return seconds


def within_budget(tests, seconds):
    """Return the fastest tests that together fit into the budget."""
    fastest = sorted(tests, key=lambda test: seconds.get(test, 1.0))
    total, kept = 0.0, []
    for test in fastest:
        total += seconds.get(test, 1.0)
        if kept and total > _BUDGET:
            break
        kept.append(test)
    return kept


# ---------------------------------------------------------------------- one mutation


class _MutatedLoader(SourceFileLoader):
    def __init__(self, name, path, code):
        super().__init__(name, path)
        self.code = code

    def get_code(self, fullname):
        return compile(self.code, self.path, "exec")


class _Finder:
    """Finds one module of the library, with other code."""

    def __init__(self, path, code):
        parts = path.relative_to(ROOT).with_suffix("").parts
        self.name = ".".join(parts).removesuffix(".__init__")
        self.path, self.code = str(path), code

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        loader = _MutatedLoader(name, self.path, self.code)
        return importlib.util.spec_from_file_location(name, self.path, loader=loader)


class _Plugin:
    """A plugin of pytest: mutates a module, and writes the name of the first failure to a file."""

    def __init__(self, finder, failure):
        self.finder, self.failure = finder, failure

    def pytest_sessionstart(self, session):
        sys.meta_path.insert(0, self.finder)  # before pytest's own, which would read the file

    def pytest_sessionfinish(self, session):
        loaded = sys.modules.get(self.finder.name)
        if loaded is not None and not isinstance(loaded.__loader__, _MutatedLoader):
            os._exit(3)

    def pytest_runtest_logreport(self, report):
        if report.failed and not self.failure.exists():
            self.failure.write_text(report.nodeid)


def outcome(path, code, tests):
    """Return "survived", "did not end", "import failed", or the first test that fails.

    The tests run in a process of their own, with other code for one file. A test that fails without
    this code, too, does not count.
    """
    tests = list(tests)
    while tests:
        found = _outcome(path, code, tests)
        if found not in tests or _outcome(path, path.read_text(), [found]) == "survived":
            return found
        tests.remove(found)
    return "survived"


def _outcome(path, code, tests):
    with tempfile.TemporaryDirectory() as folder:
        failure = Path(folder) / "failure"
        process = os.fork()
        if process == 0:
            status = 3
            try:
                status = _run_tests(path, code, tests, failure)
            finally:
                os._exit(status)
        _, status = os.waitpid(process, 0)
        if failure.exists():
            return failure.read_text()
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return "did not end"
    status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else status
    if status not in (0, 2):  # 4: a test that does not exist
        raise RuntimeError(f"pytest ended with status {status}: {tests[:3]}")
    return "import failed" if status else "survived"


def _run_tests(path, code, tests, failure):
    import pytest

    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    signal.alarm(_LIMIT)
    os.chdir(ROOT)
    os.environ.pop("PYTEST_ADDOPTS", None)  # such as coverage, which would fail
    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "-W", "ignore", "--no-header"]
    return int(pytest.main([*options, *tests], plugins=[_Plugin(_Finder(path, code), failure)]))


def _import_others():
    """Import everything except this library, once, for all processes."""
    import deepinv  # noqa: F401
    import hypothesis  # noqa: F401
    import joblib  # noqa: F401
    import lpips  # noqa: F401
    import pandas  # noqa: F401
    import pylops  # noqa: F401
    import pytest  # noqa: F401
    import safetensors.numpy  # noqa: F401
    import skimage.metrics
    import skimage.transform  # noqa: F401
    import sklearn.model_selection
    import sklearn.utils.estimator_checks  # noqa: F401
    import skops.io  # noqa: F401
    import torch

    torch.set_num_threads(1)
    assert not any(name.partition(".")[0] == "skmetainv" for name in sys.modules)


def main(argv=None):
    parser = command_line(__doc__, prog="python -m benchmarks.mutation")
    parser.add_argument("--places", type=int, default=220)
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("K", "N"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("--folder", help="folder of the suite's coverage; default: a temporary one")
    options = parser.parse_args(argv)
    settings = {"places": options.places, "seed": options.seed}
    with tempfile.TemporaryDirectory() as temporary:
        by_line, seconds = tests_by_line(options.folder or temporary)
    _import_others()
    results = record.load("mutation", settings) or {}
    first, step = options.part
    for path, index in chosen(options.places, options.seed)[first::step]:
        code, line, change = mutated(path, index)
        name = f"{path.relative_to(ROOT)}:{line} [{index}] {change[0]} -> {change[1]}"
        done = results.get(name)
        if done is not None and not (options.survivors and done["outcome"] == "survived"):
            continue
        tests = by_line[path][line] or set().union(*by_line[path].values())
        kept = within_budget(tests, seconds)
        began = time.perf_counter()
        found = outcome(path, code, kept)
        took = round(time.perf_counter() - began, 1)
        result = {name: {"outcome": found, "tests": f"{len(kept)} of {len(tests)}"}}
        results = record.update("mutation", settings, lambda old, new=result: (old or {}) | new)
        print(f"{name}: {found} ({len(kept)} of {len(tests)} tests, {took} s)", flush=True)
    survived = [name for name, result in results.items() if result["outcome"] == "survived"]
    print(f"{len(survived)} of {len(results)} survived:", *survived, sep="\n    ")


if __name__ == "__main__":
    main()

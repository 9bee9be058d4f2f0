"""The command line of the speed benchmark, see `benchmarks.speed`."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import torch

from benchmarks import speed
from benchmarks.command_line import command_line
from benchmarks.record import RESULTS, environment, update
from benchmarks.speed import measure, updates
from benchmarks.speed.rows import ROWS, Row
from skmetainv.datasets import load_faces

ROUNDS, STEPS = 3, 3
PREDICT, MEMORY = "predict, 100 images of 64 x 64", "memory, 7 steps, 128 x 128 x 3"
UPDATE = "one update of"
N_RESTORED, HELD_OUT = 100, 20
CURVE = Row((1, 25, 25), inner_lr=1.0, outer_lr=3e-4)


def measurements(rounds, n_steps, device):
    """Return the function that measures each row, by its name."""
    calls = {
        name: partial(measure.step, row, rounds, n_steps, device) for name, row in ROWS.items()
    }
    small, large = ROWS["Table 1, 64 x 64"], ROWS["Table 1, 128 x 128 x 3"]
    calls |= {
        f"{UPDATE} {name}": partial(updates.update, name, rounds, device)
        for name in updates.solvers()
    }
    calls[PREDICT] = partial(measure.predict, small, N_RESTORED, rounds, device)
    calls[MEMORY] = partial(measure.memory, replace(large, n_inner=7), rounds, device)
    return calls


def print_row(name, found):
    """Print seconds, ratios with their range, and the share; or memory."""
    if name == MEMORY:
        for who, run in found.items():
            megabytes, seconds = median(run["megabytes"]), median(run["seconds"])
            pairs = zip(found["higher"]["seconds"], run["seconds"], strict=True)
            ratio = median(theirs / ours for theirs, ours in pairs)
            print(f"{name:34}{who:15}{megabytes:6.0f} MB {seconds:6.2f} s, ratio {ratio:.2f}")
        return
    share = [s for s in found["share"] if s is not None]
    print(f"{name:34}{median(found['seconds']):9.3f}", end="")
    print(f"{median(share):8.0%}" if share else f"{'':8}", end="")
    for script, ratios in found["ratio"].items():
        low, high = min(ratios), max(ratios)
        print(f"   {script} {median(ratios):.2f} ({low:.2f} to {high:.2f})", end="")
    print(flush=True)


def print_curve(found):
    """Print the best PSNR so far at eight times."""
    limit = min(points[-1][0] for points in found.values())
    print(f"{'seconds':>10}" + "".join(f"{who:>10}" for who in found))
    for part in range(1, 9):
        time = limit * part / 8
        reached = [
            max((psnr for seconds, psnr in points if seconds <= time), default=float("nan"))
            for points in found.values()
        ]
        print(f"{time:10.0f}" + "".join(f"{psnr:10.2f}" for psnr in reached))


def main(argv=None):
    names = list(measurements(ROUNDS, STEPS, torch.device("cpu")))
    parser = command_line(speed.__doc__, prog="python -m benchmarks.speed")
    parser.add_argument("--rows", nargs="*", choices=names, default=names, metavar="NAME")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="timed steps of each run of a row")
    parser.add_argument("--curve", type=float, metavar="SECONDS")
    parser.add_argument("--results", default=RESULTS)
    args = parser.parse_args(argv)
    device = torch.device(args.device)
    torch.backends.cudnn.allow_tf32 = False  # our precision is that of the scripts
    folder = Path(args.results)
    folder.mkdir(parents=True, exist_ok=True)
    name = "speed" if device.type == "cpu" else f"speed_{device.type}"

    def keep(row, found):
        """Add a row to the record, with the hardware and the versions that were measured."""
        run = {"rounds": args.rounds, "steps": args.steps, "environment": environment(device)}
        update(name, {}, lambda results: (results or {}) | {row: found | run}, device, folder)

    if args.curve is not None:
        faces = load_faces()
        found = measure.curve(CURVE, (faces[:-HELD_OUT], faces[-HELD_OUT:]), args.curve, device)
        print_curve(found)
        keep(f"curve, {args.curve:g} s", found)
        return
    print(f"{'':34}{'seconds':>9}{'share':>8}   ratios")
    for row, call in measurements(args.rounds, args.steps, device).items():
        if row in args.rows:
            found = call()
            print_row(row, found)
            keep(row, found)


if __name__ == "__main__":
    main()

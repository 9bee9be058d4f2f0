"""The command line of the paper's experiments, see `benchmarks.paper`."""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator

from benchmarks import paper
from benchmarks.command_line import command_line
from benchmarks.paper import claims, report, summary, tune
from benchmarks.paper.run import Experiment, description
from benchmarks.paper.settings import LPIPS_NET, PRESETS
from benchmarks.record import RESULTS, load, save, update
from skmetainv.losses import LPIPS
from skmetainv.metrics import lpips, mse, psnr, ssim

_FILES = {"alex": "alexnet-*.pth", "vgg": "vgg16-*.pth", "squeeze": "squeezenet1_1-*.pth"}


def parsed(argv):
    parser = command_line(paper.__doc__, prog="python -m benchmarks.paper")
    parser.add_argument("--table", type=int, choices=(1, 2, 3, 4))
    parser.add_argument("--images", help="folder of pictures")
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--seed", type=int, default=0, help="seed of training")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, help="columns at a time; default: 2 on a CPU, else 1")
    parser.add_argument("--work", default="paper_runs", help="folder for trained estimators")
    parser.add_argument("--results", default=RESULTS / "paper")
    parser.add_argument("--lpips-net", choices=_FILES, help="default: the network of the paper")
    parser.add_argument("--lpips-weights", help="its weights; default: the file in torch's folder")
    parser.add_argument("--tune", choices=tune.CANDIDATES)
    parser.add_argument("--claims", action="store_true")
    parser.add_argument("--column", help=argparse.SUPPRESS)
    parser.add_argument("--candidate", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.claims and (args.table or args.images or args.tune):
        parser.error("--claims reads all tables: it takes no --table, --images or --tune")
    if not args.claims and not (args.table and args.images):
        parser.error("--table and --images are required, unless --claims is given")
    if args.tune and not tune.candidates(args.table, args.tune):
        parser.error(f"Table {args.table} has no candidates for {args.tune} training")
    for name in ("images", "work", "results", "lpips_weights"):
        if getattr(args, name) is not None:
            setattr(args, name, Path(getattr(args, name)).resolve())
    if args.jobs is None:
        args.jobs = 2 if args.device == "cpu" else 1
    return args


def perceptual_loss(args):
    """Return the LPIPS of the table, or None if its weights are not on disk."""
    net = args.lpips_net or LPIPS_NET[args.table]
    if args.lpips_weights is not None:
        return LPIPS(net, weights=str(args.lpips_weights))
    found = sorted((Path(torch.hub.get_dir()) / "checkpoints").glob(_FILES[net]))
    return LPIPS(net, weights=str(found[0])) if found else None


def metrics_of(loss):
    found = {"mse": mse, "psnr": psnr, "ssim": ssim}
    if loss is not None:
        found["lpips"] = partial(lpips, net=loss.net, weights=loss.weights)
    return found


def in_own_process(args, *options):
    """Run a part of the experiment with its share of the cores; return its last printed line."""
    command = [sys.executable, "-m", "benchmarks.paper", *options]
    given = {k: v for k, v in vars(args).items() if v is not None and v is not False}
    for name, value in given.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    here = Path(__file__).parents[2]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=here).stdout
    return out.splitlines()[-1]


def share_cores(args):
    if args.device == "cpu":
        torch.set_num_threads(max(1, (torch.get_num_threads() + args.jobs - 1) // args.jobs))


def run_table(args, experiment, loss):
    """Run the missing parts of a table, then report it."""
    names = list(experiment.columns())
    with ThreadPoolExecutor(args.jobs) as pool:
        for _ in pool.map(partial(in_own_process, args, "--column"), names):
            pass
    clean, restored, found = experiment.pictures.test, {}, {}
    for name in names:
        restored[name], costs = experiment.restored(name)
        quality = report.measured_quality(args.table, clean, restored[name], metrics_of(loss))
        found[name] = {**costs, "predict_ms": experiment.predict_ms(name), "quality": quality}
    groups = np.unique(experiment.pictures.groups, return_inverse=True)[1]
    results = {"groups": groups, "columns": found, "denoiser": denoiser_record(experiment)}
    settings = {
        "table": args.table,
        **experiment.settings,
        "columns": {
            name: {key: as_text(value) for key, value in settings.items()}
            for name, settings in experiment.preset.of_columns(args.table).items()
        },
        "training_images": len(experiment.pictures.training),
        "columns_at_a_time": args.jobs,
        "lpips": None if loss is None else loss.net,
    }
    args.results.mkdir(parents=True, exist_ok=True)
    name = f"table{args.table}-{args.preset}-seed{args.seed}"
    save(name, settings, results, args.device, args.results)
    report.write_csv(args.table, results, args.results / f"{name}.csv")
    measured = experiment.measurements(clean)
    report.draw(clean, measured, restored, args.results / f"{name}.png")
    report.print_table(args.table, results)
    if loss is None:
        print("No LPIPS: the weights of its network are not on disk (see --lpips-weights).")
    elif loss.net != LPIPS_NET[args.table]:
        print(f"LPIPS is that of {loss.net}; the paper's is that of {LPIPS_NET[args.table]}.")


def as_text(value):
    """Return a parameter object as text, and any other value unchanged."""
    return description(value) if isinstance(value, BaseEstimator) else value


def denoiser_record(experiment):
    """Return the settings and scores of a table's denoiser; None if it has none."""
    D = experiment.denoiser
    if D is None:
        return None
    return {
        "estimator": description(D),
        "fit_seconds": sum(D.history_["seconds"]),
        "validation_psnr": D.score(experiment.pictures.validation),
    }


def _with(one, found):
    """Return the results with one more."""
    return [*(found or []), one]


def run_candidates(args, experiment):
    """Try the new candidates of a table, then print all."""
    name = f"tuning{args.table}-{args.preset}-seed{args.seed}"
    settings = {**experiment.settings, "scored_images": tune.N_SCORED}
    args.results.mkdir(parents=True, exist_ok=True)
    found = load(name, settings, args.results)
    if found is None and (args.results / f"{name}.json").exists():
        raise SystemExit(f"{args.results / name}.json is of other settings: move it away.")
    found = found or []
    tried = [(run["length"], run["estimator"]) for run in found]
    missing = [
        one
        for one in tune.candidates(args.table, args.tune)
        if (args.tune, description(tune.candidate(experiment, *one))) not in tried
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        encoded = map(json.dumps, missing)
        for line in pool.map(partial(in_own_process, args, "--candidate"), encoded):
            add = partial(_with, json.loads(line))
            found = update(name, settings, add, args.device, args.results)
    tune.print_candidates(found)


def main(argv=None):
    args = parsed(argv)
    if args.claims:
        results = summary.load_results(args.results, args.preset)
        summary.print_tables(results)
        claims.print_claims(results)
        return
    loss = perceptual_loss(args)
    experiment = Experiment(
        args.table, PRESETS[args.preset], args.images, args.seed, args.device, args.work, loss
    )
    if args.column or args.candidate:
        share_cores(args)
    if args.column:
        experiment.restored(args.column)
        print("done")
    elif args.candidate:
        name, settings = json.loads(args.candidate)
        print(json.dumps(tune.validation_psnr(experiment, name, settings, args.tune)))
    elif args.tune:
        _ = experiment.denoiser  # fit it before several processes share the cores
        run_candidates(args, experiment)
    else:
        run_table(args, experiment, loss)


if __name__ == "__main__":
    main()

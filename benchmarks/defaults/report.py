"""Tables of the results."""

import numpy as np

from benchmarks.defaults.problems import ROWS
from skmetainv.model_selection import standard_error

CLASSICAL = ("linear", "solver", "tv", "filling")
LEARNED = ("unet", "unrolled", "dncnn", "drunet")
STARTS = ("no refiner", "adjoint", "all adapted", "modulated", "SIREN alone")
GRID_TOLERANCE = 0.5  # dB
_UNKNOWN = ""


def line(figures):
    """Return new results as one line of text."""
    text = f"{figures['data']:6}{figures['row']:13}seed {figures['seed']}  {figures['method']:11}"
    text += f"{np.mean(figures['psnr']):7.2f} dB"
    if "psnr_of_stages" in figures:
        start = figures["psnr_of_start"]
        text += "" if start is None else f", start {start:.2f}"
        text += ", steps " + " ".join(f"{v:.2f}" for v in figures["psnr_of_stages"])
        text += f", inner_lr {figures['inner_lr']:.3g}, inner loss of the "
        text += f"{figures['inner_loss_of']}, {figures['epochs']} epochs"
    if "best" in figures:
        text += f" at {figures['best']:.3g}{', the edge' * figures['at_edge']}"
    return text + (f", {figures['fit_seconds']:.0f} s" if "fit_seconds" in figures else "")


def by_method(store, data, row, seeds):
    """Return the results of a row by method and seed."""
    found = {}
    for figures in store.figures(data=data, row=row):
        if figures["seed"] in seeds:
            found.setdefault(figures["method"], {})[figures["seed"]] = figures
    return found


def required(row):
    """Return the classical methods of a row."""
    return [name for name in CLASSICAL if name != "solver" or ROWS[row].solver is not None]


def compared(found, row, groups):
    """Compare the literal line with the best classical method on the seeds they share.

    Returns
    -------
    comparison : dict or None
        The best method, the difference to it, its standard error, the verdict, and the number of
        seeds; None if results are missing.
    """
    names = ["literal", *required(row)]
    if any(name not in found for name in names):
        return None
    seeds = sorted(set.intersection(*(set(found[name]) for name in names)))
    if not seeds:
        return None
    values = {name: [np.array(found[name][s]["psnr"]) for s in seeds] for name in names}
    best = max(required(row), key=lambda name: np.mean(np.concatenate(values[name])))
    pairs = zip(values["literal"], values[best], strict=True)
    differences = [ours - theirs for ours, theirs in pairs]
    who = np.concatenate([np.array(groups[str(s)]) for s in seeds])
    over_images = standard_error(np.concatenate(differences), who)
    over_seeds = standard_error([d.mean() for d in differences])
    error = float(np.nanmax([over_images, over_seeds]))
    difference = float(np.mean(np.concatenate(differences)))
    return {
        "best": best,
        "difference": difference,
        "error": error,
        "verdict": verdict(difference, error),
        "n_seeds": len(seeds),
    }


def verdict(difference, error):
    """Return the verdict on a difference."""
    if difference < -error:
        return "behind"
    return "ahead" if difference > 2 * error else "level"


def table(store, data, rows, seeds, *, markdown=False):
    """Return the table of a data set: the literal line and the classical methods."""
    groups = store.read()["groups"].get(data, {})
    by_row = {row: by_method(store, data, row, seeds) for row in rows}
    learned = [name for name in LEARNED if any(name in found for found in by_row.values())]
    head = [data, "literal", "start", "before", "after", *CLASSICAL, *learned]
    head += ["- best", "error", "verdict", "seeds", "fit, s", "CPU s", "inner_lr", "loss of"]
    lines, verdicts, longest = [], [], 0.0
    for row, found in by_row.items():
        ours = list(found.get("literal", {}).values())
        own = compared(found, row, groups)
        cells = [row, _with_error([np.mean(f["psnr"]) for f in ours])]
        cells += [_mean(ours, "psnr_of_start")]
        cells += [_mean(ours, "psnr_of_stages", place) for place in (0, -1)]
        cells += [_quality(found.get(name, {})) for name in (*CLASSICAL, *learned)]
        if own is None:
            cells += [_UNKNOWN] * 3
        else:
            cells += [f"{own['difference']:+.2f} ({own['best']})", f"{own['error']:.2f}"]
            cells += [own["verdict"]]
            verdicts.append(own["verdict"])
        cells += [str(own["n_seeds"]) if own else str(len(ours))]
        longest = max([longest, *(f["fit_seconds"] + f["predict_seconds"] for f in ours)])
        cells += [_mean(ours, f"fit{p}_seconds", form=".0f") for p in ("", "_processor")]
        cells += [_median(ours, "inner_lr")]
        cells += ["/".join(sorted({f["inner_loss_of"] for f in ours}))]
        lines.append(cells)
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in ("behind", "level", "ahead"))
    below = f"{len(verdicts)} rows: {counts}. Longest fit and prediction: {longest:.0f} s."
    below += "\n" + _measured_at(store, data, rows, seeds)
    return _laid_out(head, lines, markdown) + "\n\n" + below


def grid_table(name, store, data, rows, seeds, *, markdown=False):
    """Return the table of a data set: an estimator's defaults and the settings of its grid.

    Rows without results are left out.
    """
    head = [
        data,
        name,
        "best",
        f"{name} - best",
        "within",
        "settings",
        "CPU s",
        "best's",
        "best setting",
    ]
    lines = []
    for row in rows:
        found = by_method(store, data, row, seeds[:1])
        tried = {k: f for k, own in found.items() for f in own.values() if k.startswith(f"{name} ")}
        if not tried or name not in found:
            continue
        best = max(tried, key=lambda k: np.mean(tried[k]["psnr"]))
        (default,) = found[name].values()
        ours, theirs = (float(np.mean(f["psnr"])) for f in (default, tried[best]))
        within = "yes" if ours >= theirs - GRID_TOLERANCE else "no"
        cells = [row, f"{ours:.2f}", f"{theirs:.2f}", f"{ours - theirs:+.2f}", within]
        cells += [str(len(tried))]
        cells += [f"{f['fit_processor_seconds']:.0f}" for f in (default, tried[best])]
        cells += [f"{best}: {tried[best]['told']}"]
        lines.append(cells)
    below = _measured_at(store, data, rows, seeds[:1])
    return _laid_out(head, lines, markdown) + "\n\n" + below


def starts_table(store, data, rows, seeds, *, markdown=False):
    """Return the table of a data set: the literal line with the default start and with others."""
    names, lines = ("literal", *STARTS), []
    for row in rows:
        found = by_method(store, data, row, seeds[:1])
        if any(name in found for name in STARTS):
            lines.append([row, *(_quality(found.get(name, {})) for name in names)])
    return _laid_out([data, "default", *STARTS], lines, markdown)


def _with_error(values):
    """Return the mean over the seeds and, if there are several, its standard error."""
    if not values:
        return _UNKNOWN
    error = standard_error(values)
    return f"{np.mean(values):.2f}" + ("" if np.isnan(error) else f" ± {error:.2f}")


def _mean(figures, name, place=None, form=".2f"):
    values = [f.get(name) if place is None else f[name][place] for f in figures]
    known = [v for v in values if v is not None]
    return format(np.mean(known), form) if known else _UNKNOWN


def _median(figures, name):
    return f"{np.median([f[name] for f in figures]):.3g}" if figures else _UNKNOWN


def _quality(by_seed):
    """Return the mean PSNR of a method and, if several values were tried, the best one.

    The best value is a median over the seeds. A star marks the edge of the range that was tried.
    """
    if not by_seed:
        return _UNKNOWN
    figures = list(by_seed.values())
    told = f"{np.mean([np.mean(f['psnr']) for f in figures]):.2f}"
    if "best" in figures[0]:
        edge = "*" if any(f["at_edge"] for f in figures) else ""
        told += f" ({np.median([f['best'] for f in figures]):.3g}{edge})"
    return told


def _measured_at(store, data, rows, seeds):
    """Return the measured commits of the library, so that old results are recognised."""
    content, commits = store.read(), {}
    for figures in content["results"]:
        if figures["data"] == data and figures["row"] in rows and figures["seed"] in seeds:
            own = content["environments"][figures["environment"]]
            kind = "literal line" if figures["method"] == "literal" else "all else"
            commits.setdefault(kind, set()).add(f"{own['commit']} ({own['hardware']})")
    return "; ".join(f"{kind}: {', '.join(sorted(own))}" for kind, own in sorted(commits.items()))


def _laid_out(head, lines, markdown):
    if markdown:
        rows = [head, ["---"] * len(head), *lines]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in [head, *lines]
    )

"""The code on the README and on every page of the docs runs, with shortened training."""

import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    path.relative_to(ROOT)
    for path in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    if not {"_build", "gallery", "generated"} & {*path.relative_to(ROOT).parts}
]
BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", flags=re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: \S.* -->\s*$")


def blocks_of(page):
    """Return the blocks of code of a page: their line, their text, and whether they run."""
    text, blocks = (ROOT / page).read_text(), []
    for match in BLOCK.finditer(text):
        indent, code = match.groups()
        lines = [line.removeprefix(indent) for line in code.splitlines()]
        runs = NOT_RUN.search(text[: match.start()]) is None
        # Leading blank lines, so that a traceback has the page's line numbers.
        n_before = text[: match.start()].count("\n") + 1
        blocks.append((n_before, "\n" * n_before + "\n".join(lines), runs))
    return blocks


@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=str)
def test_code_on_the_page_runs(page, one_epoch, tmp_path, monkeypatch):
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for _, code, runs in blocks_of(page):
        source = compile(code, str(page), "exec")  # blocks that do not run are Python, too
        if runs:
            exec(source, names)
    plt.close("all")
    if page.name == "extending.md":
        assert np.isfinite(names["restored"]).all()
        for own in (names["Vignetting"](), names["Vignetting"](strength=0.8)):
            names["test_operators"](own, (3, 5, 2))


def test_few_blocks_do_not_run():
    blocks = [block for page in PAGES for block in blocks_of(page)]
    assert sum(not runs for _, _, runs in blocks) < len(blocks) / 5


def test_a_failing_block_is_reported_with_its_line(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("A page.\n\n- code\n\n  ```python\n  x = 1\n  x.missing\n  ```\n")
    ((line, code, runs),) = blocks_of(page)
    assert (line, runs) == (5, True)
    with pytest.raises(AttributeError) as error:
        exec(compile(code, "page.md", "exec"), {})
    assert error.traceback[-1].lineno + 1 == 7

"""In notebooks: the progress bar, completion of parameters, and the diagram of an estimator."""

import nbclient
import nbformat
import pytest

from skmetainv import MetaInverseSolver, pages
from skmetainv.operators import Inpainting, Operator
from skmetainv.representations.coordinates import CoordinateModule
from skmetainv.solvers import HQS

CELLS = [
    "from skmetainv import UNetReconstructor\n"
    "from skmetainv.datasets import load_faces\n"
    "est = UNetReconstructor(width=4, max_epochs=2, verbose=1).fit(load_faces()[:8])",
    "est",
    # Jedi's answers depend on its cache and on the time it is given; IPython's own do not.
    "completer = get_ipython().Completer\n"
    "completer.use_jedi = False\n"
    "for text in ('UNetReconstructor(max_ep', 'est.max_ep'):\n"
    "    _, found = completer.complete(line_buffer=text, cursor_pos=len(text))\n"
    "    print([text.rpartition('.')[2] for text in found])",
]


@pytest.fixture(scope="module")
def notebook():
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    return notebook


def test_training_shows_one_bar(notebook):
    (bar,) = notebook.cells[0].outputs
    assert bar.output_type == "display_data"
    assert "application/vnd.jupyter.widget-view+json" in bar.data


def test_an_estimator_is_a_diagram(notebook):
    (diagram,) = notebook.cells[1].outputs
    assert "max_epochs" in diagram.data["text/html"]


def test_parameters_are_completed(notebook):
    printed = "".join(output.text for output in notebook.cells[2].outputs)
    assert printed == "['max_epochs=']\n['max_epochs']\n"


@pytest.fixture
def docs(monkeypatch):
    monkeypatch.setattr(pages, "_address_of_docs", lambda: "https://docs.test")


def test_the_diagram_links_to_the_docs(docs):
    for drawn, name in ((MetaInverseSolver(Inpainting()), ""), (HQS(), "solvers.")):
        page = f"https://docs.test/generated/skmetainv.{name}{type(drawn).__name__}.html"
        assert page in drawn._repr_html_()


def test_only_public_classes_have_a_page(docs):
    class Mine(Operator):
        pass

    assert Mine()._get_doc_link() == ""
    assert pages.page_of(CoordinateModule) == ""
    assert (
        pages.page_of(Operator) == "https://docs.test/generated/skmetainv.operators.Operator.html"
    )


@pytest.mark.parametrize(
    ("urls", "address"),
    [
        (["Source, https://a.test", "Documentation, https://b.test/"], "https://b.test"),
        (["Source, https://a.test"], ""),
        (None, ""),
    ],
)
def test_the_address_comes_from_the_metadata(urls, address, monkeypatch):
    class Metadata:
        def get_all(self, name):
            return urls if name == "Project-URL" else None

    monkeypatch.setattr(pages, "metadata", lambda package: Metadata())
    assert pages._address_of_docs.__wrapped__() == address


def test_a_copy_that_is_not_installed_has_no_docs(monkeypatch):
    def missing(package):
        raise pages.PackageNotFoundError(package)

    monkeypatch.setattr(pages, "metadata", missing)
    assert pages._address_of_docs.__wrapped__() == ""

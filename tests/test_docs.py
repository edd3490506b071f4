"""The examples in the documentation run, and give what the pages say."""

import doctest
import importlib.util
import inspect
import json
import pkgutil
import re
from pathlib import Path

import pytest

import xpatch

DOCS = Path(__file__).parent.parent / "docs"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

# A source distribution has no docs.
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="no docs beside the tests")


PAGES = sorted(str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md") if "_build" not in p.parts)


def examples(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return "\n".join(re.findall(r"^```python\n(>>> .*?)^```", text, flags=re.S | re.M))


def needs_torch(page):
    return re.search(r"^(>>>|\.\.\.) +(import torch|from (xpatch\.)?torch\b)", examples(page), re.M)


def run(page):
    example = doctest.DocTestParser().get_doctest(examples(page), {}, page, page, 0)
    failures = []
    doctest.DocTestRunner(optionflags=FLAGS).run(example, out=failures.append)
    assert not failures, "".join(failures)


@pytest.mark.parametrize("page", [p for p in PAGES if not needs_torch(p)])
def test_examples(page):
    run(page)


@pytest.mark.parametrize("page", [p for p in PAGES if needs_torch(p)])
def test_examples_with_torch(page):
    pytest.importorskip("torch")  # the step `torch` of .ci/run has it
    run(page)


def code_of(page):
    """Give (number, line) of the lines of code on a page; of a README those of Python alone."""
    fence, found = None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        opens = re.match(r"(`{3,}|:{3,})(.*)$", line)
        if opens and fence is None:
            code = not opens[2].startswith("{") and (page.name != "README.md" or "py" in opens[2])
            fence = opens[1], code
        elif opens and opens[1] == fence[0]:
            fence = None
        elif fence and fence[1]:
            found.append((number, line))
    return found


def test_code_fits_its_column():
    """The column of a page holds 90 characters at 1280 px, that of a README where it is read 100."""
    pages = [*(DOCS / p for p in PAGES), DOCS.parent / "README.md"]
    lines = [(p.name, *at) for p in pages for at in code_of(p)]
    assert len(lines) > 1500
    wide = {"README.md": 96}
    assert not [(p, n) for p, n, line in lines if len(line) > wide.get(p, 88)]


def test_code_of_notebooks_fits_its_column():
    cells = [
        (p.stem, k, cell["source"])
        for p in (DOCS.parent / "notebooks").glob("*.ipynb")
        for k, cell in enumerate(json.loads(p.read_text(encoding="utf-8"))["cells"])
        if cell["cell_type"] == "code"
    ]
    lines = [(*at, line) for *at, source in cells for line in "".join(source).splitlines()]
    assert len(lines) > 1500
    assert not [(*at, line) for *at, line in lines if len(line) > 88]


def docstrings():
    """Give (name, docstring) of all classes and functions of the package that need no torch."""
    for module in pkgutil.walk_packages(xpatch.__path__, "xpatch."):
        if module.name == "xpatch.torch":
            continue
        for name, thing in vars(importlib.import_module(module.name)).items():
            if not getattr(thing, "__module__", "").startswith("xpatch"):
                continue
            members = vars(thing).items() if inspect.isclass(thing) else ()
            for part, held in [(name, thing), *((f"{name}.{k}", v) for k, v in members)]:
                if (inspect.isfunction(held) or inspect.isclass(held)) and held.__doc__:
                    yield part, inspect.getdoc(held)


def test_examples_of_docstrings_fit_their_column():
    blocks = [
        (n, e)
        for n, doc in docstrings()
        for e in re.findall(r"^>>>.*?(?=\n\n|\Z)", doc, re.S | re.M)
    ]
    seen = {(name, line) for name, block in blocks for line in block.splitlines()}
    assert len(seen) > 400
    assert not [at for at in seen if len(at[1]) > 86]


def test_every_public_name_is_in_the_reference():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), flags=re.M)
    assert set(xpatch.__all__) - set(listed) == set()


def test_the_reference_names_what_can_be_typed():
    """No module but `xpatch.torch` is public."""
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^   ([\w.]+)$", text, flags=re.M)
    assert len(listed) > 100
    known = re.compile(r"(torch\.)?\w+|(DataArray|DataTree|GeoDataFrame)\.patch\.\w+")
    assert not [name for name in listed if not known.fullmatch(name)]


def test_every_public_method_of_the_accessor_is_in_the_reference():
    from xpatch.accessor import PatchAccessor

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"DataArray\.patch\.(\w+)", text))
    assert {n for n in dir(PatchAccessor) if not n.startswith("_")} == listed


def test_every_public_method_of_the_accessor_of_trees_is_in_the_reference():
    from xpatch.accessor import TreeAccessor

    text = (DOCS / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"DataTree\.patch\.(\w+)", text))
    assert {n for n in vars(TreeAccessor) if not n.startswith("_")} == listed


def test_the_architecture_page_names_what_there_is():
    """Files of the table and of the flows exist, and hold the names that stand beside them."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = DOCS.parent / "xpatch"
    missing = []
    for row in re.findall(r"^\| [^|]+ \| (.+) \|$", text, flags=re.M):
        quoted = re.findall(r"`([^`]+)`", row)
        paths = [q for q in quoted if q.endswith(".py")]
        missing += [p for p in paths if not (package / p).exists()]
        known = [p for p in paths if (package / p).exists()]
        sources = "".join((package / p).read_text(encoding="utf-8") for p in known)
        names = [q.split(".")[-1] for q in quoted if known and re.fullmatch(r"[\w.]+", q)]
        names = [n for n in names if n != "py"]
        missing += [f"{n} in {known}" for n in names if not re.search(rf"\b{n}\b", sources)]
    for flow in re.findall(r"^```text\n(.*?)^```", text, flags=re.S | re.M):
        for name in re.findall(r"\b(?:api|patches|models|engine)(?:\.\w+)+", flow):
            module, _, last = f"xpatch.{name}".rpartition(".")
            whole = package.parent / (f"xpatch.{name}".replace(".", "/") + ".py")
            part = package.parent / (module.replace(".", "/") + ".py")
            there = part.exists() and re.search(rf"\b{last}\b", part.read_text(encoding="utf-8"))
            if not (whole.exists() or there or len(module.split(".")) > 3):
                missing.append(name)
    assert not missing, missing


def calls():
    """Give the calls in the tables of the page that goes from a question to a call."""
    text = (DOCS / "which_call.md").read_text(encoding="utf-8") if DOCS.exists() else ""
    rows = re.findall(r"^\| [^|]+ \| (`.+`) \| \{doc\}", text, flags=re.M)
    return [call for row in rows for call in re.findall(r"`([^`]+)`", row)]


@pytest.fixture(scope="module")
def fields():
    """Give the names that the page makes."""
    names = {}
    for example in doctest.DocTestParser().get_examples(examples("which_call.md")):
        exec(example.source, names)
    return names


@pytest.mark.filterwarnings("ignore:.*figures have been opened")
@pytest.mark.parametrize("call", calls())
def test_each_call_that_answers_a_question(call, fields):
    assert eval(call, fields) is not None


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "_scripts" / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_notebook_is_in_the_gallery_and_says_what_its_card_quotes(gallery):
    there = gallery.checked(DOCS.parent / "notebooks")
    assert all(n.title() and len(n.question()) < 250 for n in there.values())


def test_the_gallery_refuses_what_it_does_not_know(gallery, tmp_path):
    text = {
        "cell_type": "markdown",
        "source": ["# A title\n", "\n", "A question? Said\n", "in two."],
    }
    (tmp_path / "new.ipynb").write_text(json.dumps({"cells": [text]}))
    with pytest.raises(ValueError, match=r"new: has no entry.*seamless_tiles: an entry without"):
        gallery.checked(tmp_path)
    new = gallery.Notebook(tmp_path / "new.ipynb")
    assert (new.title(), new.question()) == ("A title", "A question?")
    assert new.says("Said in two")
    assert not new.says("three")
    text["source"][2] = "Neighbors: who? Said\n"
    (tmp_path / "new.ipynb").write_text(json.dumps({"cells": [text]}))
    assert gallery.Notebook(tmp_path / "new.ipynb").question() == "Neighbors: who?"


def test_cards_quote_sentences_with_a_number(gallery):
    found = {name: words for name, (_, words, _) in gallery.NOTEBOOKS.items()}
    assert not [name for name, words in found.items() if not re.search(r"\d|thirty", words, re.I)]
    assert gallery.whole("Said in 2.") == "Said in 2."
    assert gallery.whole("said in 2") == "… said in 2 …"


def test_terms_that_pages_use_are_in_the_glossary():
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    known = {t.strip().lower() for t in re.findall(r"^(\w[^\n]*)\n  \S", text, flags=re.M)}
    pages = "".join((DOCS / p).read_text(encoding="utf-8") for p in PAGES)
    used = {
        (a or b).lower() for a, b in re.findall(r"\{term\}`(?:[^`<]*<([^>]+)>|([^`]+))`", pages)
    }
    assert len(known) >= 40
    assert len(used) >= 20
    assert used <= known

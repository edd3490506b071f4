"""What ``help`` says of the accessors: all parameters, what comes back with its dims, an example."""

import doctest
import inspect
import re

import pytest
from numpydoc.docscrape import NumpyDocString

import xpatch
from xpatch.accessor import CatalogAccessor, PatchAccessor, TreeAccessor

OBJECT = {"self", "obj", "patches", "theta", "matrix", "table"}  # what stands before the dot


def public(accessor):
    names = [n for n in dir(accessor) if not n.startswith("_")]
    return [pytest.param(accessor, n, id=f"{accessor.__name__}.{n}") for n in names]


NAMES = [*public(PatchAccessor), *public(TreeAccessor), *public(CatalogAccessor)]


def said(accessor, name):
    return inspect.getdoc(getattr(accessor, name))


@pytest.mark.parametrize(("accessor", "name"), NAMES)
def test_help_tells_all(accessor, name):
    attribute = getattr(accessor, name)
    doc = NumpyDocString(said(accessor, name))
    assert doc["Returns"]
    assert doc["Examples"]
    if isinstance(attribute, property):
        text = "\n".join(line for given in doc["Returns"] for line in given.desc)
        assert re.search(r"\(patch|dimension|Dimension|without values", text)
        return
    first, *expected = inspect.signature(attribute).parameters
    assert first in OBJECT
    listed = [n.strip(" *") for p in doc["Parameters"] for n in p.name.split(",")]
    assert sorted(listed) == sorted(expected)
    assert all(p.desc for p in doc["Parameters"])


@pytest.mark.parametrize(("accessor", "name"), NAMES)
def test_help_names_what_can_be_typed(accessor, name):
    """Names of the package are those that ``import xpatch`` gives, and no private ones."""
    text = said(accessor, name)
    assert not re.search(r"xpatch\.(?!torch\b)[a-z_]+\.[a-z]|(?<![\w.])_[a-z]\w+|; see `", text)


def shown(thing):
    """Give what the examples of something say that comes out; a class inherits no docstring."""
    examples = doctest.DocTestParser().get_examples(thing.__doc__ or "")
    return [example.want for example in examples if example.want]


@pytest.mark.parametrize("name", xpatch.__all__)
def test_every_public_name_has_an_example_of_its_own(name):
    assert shown(getattr(xpatch, name))


@pytest.mark.parametrize(("accessor", "name"), NAMES)
def test_every_method_has_an_example_of_its_own(accessor, name):
    assert shown(getattr(accessor, name))

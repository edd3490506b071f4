"""What names in docstrings lead to, and where code ends."""

from docutils import nodes
from sphinx.domains.python import PyXRefRole

import xpatch


def public(role, rawtext, text, lineno, inliner, options=None, content=()):
    """Link a name to its page, from pages of methods of xarray as from those of the package.

    A role of docutils. Names that have no page, such as those of parameters, are code.
    """
    if text.split(".")[0] in xpatch.__all__:
        text = f"{text} <xpatch.{text}>"
    return PyXRefRole()("py:obj", rawtext, text, lineno, inliner, options or {}, content)


def trim_code(app, doctree):
    """Take away the empty line that ends an example: a doctest needs it, a reader sees a gap."""
    for block in doctree.findall(nodes.literal_block):
        text = block.astext()
        if text != text.rstrip("\n") and len(block) == 1:
            block[:] = [nodes.Text(text.rstrip("\n"))]
            block.rawsource = text.rstrip("\n")

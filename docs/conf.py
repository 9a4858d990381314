"""How Sphinx builds the site: `make docs` writes build/docs/html/index.html; warnings are errors."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from importlib import import_module
from typing import Any

import xpert

# Models are made before autodoc writes evaluated annotations into their classes: pydantic would read those.
modules = [
    import_module(found.name)
    for found in pkgutil.walk_packages(xpert.__path__, "xpert.")
    if not found.name.endswith("__main__")
]
# Annotations also name what is imported for type checking alone; with it, their links lead somewhere.
for module in modules:
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), module.__name__, "exec"), vars(module))  # noqa: S102 - our own code

project = "XPert"
author = "The XPert developers"
project_copyright = author
version = release = xpert.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
# Pages link to results and to files of the project, so its root is the source.
root_doc = "docs/index"
include_patterns = ["docs/**/*.md", "docs/*.md", "docs/reference/*.rst", "results/*.md", "results/*/README.md", "*.md"]
exclude_patterns = ["**/.*", "build", "runs", "data", "tests", "benchmarks"]
html_theme = "furo"
html_title = "XPert"

# Pages in Markdown; headings may be linked to.
myst_heading_anchors = 4

# The reference is built from the docstrings of every module.
apidoc_modules = [
    {
        "path": "../src/xpert",
        "destination": "docs/reference",
        "separate_modules": True,
        "module_first": True,
        "exclude_patterns": ["**/_[!_]*.py", "**/__main__.py"],
        "automodule_options": {"members", "show-inheritance"},
    }
]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # those of torch and pydantic speak of their own pages
# Single backquotes in docstrings are code, as in Markdown.
default_role = "code"


_COLON = "\ue000"
"""Stands for a colon while napoleon reads a docstring."""


def _hide_colons(_app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Colons in the docstring of a field are punctuation: napoleon would take what stands before one for a type."""
    if what in ("attribute", "data"):
        lines[:1] = [line.replace(":", _COLON) for line in lines[:1]]


def _escape(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Asterisks in docstrings are factors, powers and axes (`*batch`), never emphasis."""
    # Every second piece between backquotes is code.
    lines[:] = [
        "".join(piece if n % 2 else piece.replace("*", "\\*") for n, piece in enumerate(re.split("(`+[^`]*`+)", line)))
        for line in (line.replace(_COLON, ":") for line in lines)
    ]


def _only_at_home(app: Any, _what: str, _name: str, member: Any, skip: bool, _options: Any) -> bool | None:
    """What a package hands on is described where it is defined."""
    page = app.env.docname.removeprefix("docs/reference/")
    described = inspect.isclass(member) or inspect.isfunction(member)
    return True if described and page.startswith("xpert") and member.__module__ != page else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _hide_colons, priority=400)  # before napoleon, at 500
    app.connect("autodoc-process-docstring", _escape, priority=600)
    app.connect("autodoc-skip-member", _only_at_home)

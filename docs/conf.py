"""How Sphinx builds the site: `make docs` writes build/docs/html/index.html; warnings are errors."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
from importlib import import_module
from typing import Annotated, Any, get_args, get_origin

import pydantic

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


def _plain(annotation: Any) -> Any:
    """The type of an `Annotated`: bounds and decisions stand in the table of config keys."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if isinstance(annotation, str) and annotation.startswith("Annotated["):
        parsed = ast.parse(annotation, mode="eval").body
        if isinstance(parsed, ast.Subscript) and isinstance(parsed.slice, ast.Tuple):
            return ast.unparse(parsed.slice.elts[0])
    return annotation


for module in modules:
    for name, member in list(vars(module).items()):
        setattr(module, name, _plain(member))
        if inspect.isclass(member) and member.__module__ == module.__name__:
            member.__annotations__ = {key: _plain(value) for key, value in inspect.get_annotations(member).items()}

project = "XPert"
author = "The XPert developers"
project_copyright = author
version = release = xpert.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.apidoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
# Pages link to results and to files of the project, so its root is the source.
root_doc = "docs/index"
include_patterns = [
    "docs/**/*.md",
    "docs/*.md",
    "docs/reference/*.rst",
    "results/*.md",
    "results/*/README.md",
    "results/cifar10/seven-layers.md",
    "findings/README.md",
    "*.md",
]
exclude_patterns = ["**/.*", "build", "runs", "data", "tests", "benchmarks"]
highlight_language = "text"  # where a block names none
html_theme = "furo"
html_title = "XPert"

# Pages in Markdown; headings may be linked to.
myst_heading_anchors = 4

# Pages with code cells run when they are built, each in a folder of its own; an error fails the build.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300

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
autodoc_type_aliases = {"Array": "xpert.hardware.gates.Array"}
python_maximum_signature_line_length = 100
autodoc_inherit_docstrings = False  # those of torch and pydantic speak of their own pages
# Single backquotes in docstrings are code, as in Markdown.
default_role = "code"


_COLON = "\ue000"
"""Stands for a colon while napoleon reads a docstring."""


def _hide_colons(_app: Any, what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Colons in the docstring of a field are punctuation: napoleon would take what stands before one for a type."""
    if what in ("attribute", "data", "property"):
        lines[:1] = [line.replace(":", _COLON) for line in lines[:1]]


def _escape(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Asterisks in docstrings are factors, powers and axes (`*batch`), unless a word stands between two."""
    # Every second piece is code or emphasis.
    kept = r"(`+[^`]*`+|(?<![\w*])\*\w[\w ]*\*(?![\w*]))"
    lines[:] = [
        "".join(piece if n % 2 else piece.replace("*", r"\*") for n, piece in enumerate(re.split(kept, line)))
        for line in (line.replace(_COLON, ":") for line in lines)
    ]


def _no_fields(_app: Any, _what: str, _name: str, member: Any, *_options: Any) -> tuple[str, None] | None:
    """Fields of a model are listed below it."""
    return ("", None) if inspect.isclass(member) and issubclass(member, pydantic.BaseModel) else None


def _only_at_home(app: Any, _what: str, _name: str, member: Any, skip: bool, _options: Any) -> bool | None:
    """What a package hands on is described where it is defined."""
    page = app.env.docname.removeprefix("docs/reference/")
    described = inspect.isclass(member) or inspect.isfunction(member)
    return True if described and page.startswith("xpert") and member.__module__ != page else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _hide_colons, priority=400)  # before napoleon, at 500
    app.connect("autodoc-process-docstring", _escape, priority=600)
    app.connect("autodoc-process-signature", _no_fields)
    app.connect("autodoc-skip-member", _only_at_home)

"""Networks made by Python code: a class or function of a file or module.

The code is executed, as if it were imported: it is the user's own. Nothing else that a source can be is executed.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from xpert.errors import ConfigError
from xpert.networks.sources import Source


def from_python(source: Source, arguments: Mapping[str, Any]) -> nn.Module:
    """The module that a class or function makes.

    Args:
        source: File or module, and the name in it.
        arguments: What it is called with, by name.

    Raises:
        ConfigError: If the code or the name is not there, fails, takes other arguments or gives no `nn.Module`.
    """
    return called(source.text, code_of(source), arguments)


def called(where: str, factory: Callable[..., Any], arguments: Mapping[str, Any]) -> nn.Module:
    """What a class or function of the user's makes; random numbers are drawn with seed 0.

    Args:
        where: The source, for messages.
        factory: The class or function.
        arguments: What it is called with, by name.

    Raises:
        ConfigError: See `from_python`.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        signature = None
    if signature is not None:
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise ConfigError(f"{where}: {error}; it takes {_shown(signature)}") from None
    try:
        # Seeded here, so that what an import draws makes no difference.
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            made = factory(**arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        raise ConfigError(f"{where}: {described(error)}") from None
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{where}: gives a {type(made).__name__}, not a torch.nn.Module")
    return made


def described(error: BaseException) -> str:
    """An exception of the user's code in one line, with the line of the code where it arose."""
    place = ""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is not None and trace.tb_frame.f_code.co_filename.endswith(".py"):
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
    return " ".join(f"{type(error).__name__}: {error}".split()) + place


def code_of(source: Source) -> Callable[..., Any]:
    """The class or function that a source names; what is around it is executed.

    Raises:
        ConfigError: If it is not there, or the code fails.
    """
    module = _module_of_file(source) if source.place.endswith(".py") else _module_of_name(source)
    found: Any = module
    for part in source.name.split("."):
        found = getattr(found, part, None)
        if found is None:
            names = [
                name for name, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)
            ]
            own = [name for name in names if getattr(vars(module)[name], "__module__", None) == module.__name__]
            there = ", ".join(sorted(own)) or "no class and no function"
            raise ConfigError(f"{source.text}: no {source.name!r} in {source.place}, which has {there}")
    if not callable(found):
        raise ConfigError(f"{source.text}: a {type(found).__name__}, which cannot be called")
    if isinstance(found, nn.Module):
        raise ConfigError(f"{source.text}: a network that is made already; name the class or function that makes it")
    return found


def _module_of_file(source: Source) -> ModuleType:
    path = Path(source.place)
    if not path.is_file():
        raise ConfigError(f"{source.text}: {'is a folder' if path.is_dir() else 'no such file'}: {source.place}")
    path = path.resolve()
    # A name that no other module has; the same file twice is the same module.
    name = f"xpert_source_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{source.text}: {source.place} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _found_beside(path.parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        del sys.modules[name]
        raise ConfigError(f"{source.text}: {described(error)}") from None
    return module


def _module_of_name(source: Source) -> ModuleType:
    try:
        with _found_beside(Path.cwd()):
            return importlib.import_module(source.place)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{source.text}: no module {error.name!r} is installed, nor in this folder") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code
        raise ConfigError(f"{source.text}: {described(error)}") from None


@contextmanager
def _found_beside(folder: Path) -> Iterator[None]:
    """Within this context modules of a folder can be imported, as with `python file.py`."""
    place = str(folder)
    sys.path.insert(0, place)
    try:
        yield
    finally:
        if place in sys.path:
            sys.path.remove(place)


def _shown(signature: inspect.Signature) -> str:
    return str(signature.replace(return_annotation=inspect.Signature.empty))


__all__ = ["called", "code_of", "described", "from_python"]

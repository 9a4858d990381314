"""`xpert init`, `presets` and `parts`: the files that come with XPert."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from xpert.cli import output
from xpert.errors import ConfigError
from xpert.files import write_atomically


def init(
    file: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Where to write it.")] = Path("xpert.yaml"),
    preset: Annotated[str, typer.Option(help="Which shipped config to start from.")] = "quickstart",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> int:
    """Write a commented config to start from.

    Example: **xpert init my-search.yaml --preset cifar10-vgg16**
    """
    from xpert.experiment.presets import preset_text

    text = preset_text(preset)
    if file.exists() and not force:
        raise ConfigError(f"{file}: exists already; add --force to overwrite it, or give another name")
    write_atomically(file, text)
    output.write(f"Wrote {file}. Next: xpert search {shlex.quote(str(file))} --out runs/first\n")
    return 0


def presets(
    name: Annotated[str | None, typer.Argument(help="Print this one instead of the list.")] = None,
) -> int:
    """List the shipped configs, or print one.

    Example: **xpert presets quickstart**
    """
    from xpert.experiment.presets import describe_preset, preset_names, preset_text

    if name is None:
        output.write("".join(f"{each:16} {describe_preset(each)}\n" for each in preset_names()))
    else:
        output.write(preset_text(name))
    return 0


def parts(
    name: Annotated[str | None, typer.Argument(help="Print this one instead of the list.")] = None,
) -> int:
    """List the ADCs, devices and technologies that come with XPert, or print one: a file to start your own from.

    Example: **xpert parts murmann-sar-median > my-adc.yaml**
    """
    from xpert.design import PART_KINDS, part_names, part_text, shown

    shipped = {each: kind for kind in PART_KINDS for each in part_names(kind)}
    if name is not None and name not in shipped:
        raise ConfigError(f"part: must be one of {', '.join(shipped)}, got {shown(name)}")
    if name is not None:
        output.write(part_text(shipped[name], name))
        return 0
    for each, kind in shipped.items():
        output.write(f"{kind:11} {each:20} {part_text(kind, each).splitlines()[0].lstrip('# ')}\n")
    return 0

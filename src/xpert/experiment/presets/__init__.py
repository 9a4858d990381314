"""Configs that come with XPert. Each is a commented YAML file in this folder, and a config to start from."""

from __future__ import annotations

from importlib import resources

from xpert.design import parse_mapping, shown
from xpert.errors import ConfigError
from xpert.experiment.config import SearchConfig

_FOLDER = resources.files("xpert.experiment.presets")


def preset_names() -> tuple[str, ...]:
    """Names of the shipped configs, sorted."""
    files = (entry.name for entry in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def preset_text(name: str) -> str:
    """A shipped config as text, comments included.

    Raises:
        ConfigError: If there is none of that name.
    """
    if name not in preset_names():
        raise ConfigError(f"preset: must be one of {', '.join(preset_names())}, got {shown(name)}")
    return _FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def load_preset(name: str) -> SearchConfig:
    """A shipped config.

    Raises:
        ConfigError: If there is none of that name.
    """
    where = f"preset {name}"
    return SearchConfig.parse(parse_mapping(preset_text(name), where, "config"), where)


def describe_preset(name: str) -> str:
    """The first comment line of a shipped config: what it is for."""
    return preset_text(name).splitlines()[0].lstrip("# ")


__all__ = ["describe_preset", "load_preset", "preset_names", "preset_text"]

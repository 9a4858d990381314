"""docs/configuration.md lists every key of a config as the models define it.

`XPERT_RECORD=1 python -m pytest tests/experiment/test_configuration_page.py` writes the page anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpert.experiment import SearchConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

HEAD = """\
# Configuration

Every key of a config file. `xpert init` writes a commented one to start from; only `name`, `network` and `dataset` are
required. Unknown keys are refused. A run folder's `config.yaml` spells out every default. The keys under `chip` are
also those of a design file, and `xpert evaluate --sweep` takes them.
"""


def resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema with its reference followed."""
    if "$ref" in schema:
        return definitions[schema["$ref"].rsplit("/", 1)[1]] | {key: schema[key] for key in schema if key != "$ref"}
    return schema


def allowed(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """What a key takes, in words."""
    schema = resolve(schema, definitions)
    if "anyOf" in schema:
        return " or ".join(allowed(part, definitions) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "mapping")
    if "prefixItems" in schema:
        return "[" + "; ".join(allowed(part, definitions) for part in schema["prefixItems"]) + "]"
    if kind == "array":
        return f"list of {allowed(schema['items'], definitions)}"
    words = {"integer": "integer", "number": "number", "string": "text", "boolean": "true, false", "null": "null"}
    bounds = [
        f"{sign} {schema[name]:.12g}"
        for name, sign in {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}.items()
        if name in schema
    ]
    return " ".join([words.get(kind, "mapping"), ", ".join(bounds)]).strip()


def default(entry: dict[str, Any]) -> str:
    """What a key is where it is not given; several where that is for the kind of cell to say."""
    if "default_by_cell" in entry:
        return ", ".join(f"{cell} `{json.dumps(value)}`" for cell, value in entry["default_by_cell"].items())
    return f"`{json.dumps(entry['default'])}`" if "default" in entry else "required"


def sections(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[str]:
    """A table for a mapping, and then for every mapping in it."""
    rows, inner = [], []
    for name, entry in schema["properties"].items():
        found = resolve(entry, definitions)
        meaning = " ".join(found["description"].split())
        if "properties" in found:
            inner.append((name, found))
            rows.append(f"| `{name}` | see below | | {meaning} |")
            continue
        rows.append(f"| `{name}` | {allowed(entry, definitions)} | {default(entry)} | {meaning} |")
    title = f"\n## `{path}`\n" if path else ""
    description = " ".join(schema.get("description", "").split())
    yield (
        f"{title}\n{description}\n\n| key | allowed | default | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )
    for name, found in inner:
        yield from sections(found, definitions, f"{path}.{name}".lstrip("."))


def page() -> str:
    schema = SearchConfig.model_json_schema()
    return HEAD + "".join(sections(schema, schema["$defs"]))


def test_the_page_is_true() -> None:
    if os.environ.get("XPERT_RECORD"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page()

"""Tables of all parameters: types and bounds from the models, values from `conf/base`."""

import json
from collections.abc import Iterator
from typing import Any

from project import ROOT, configuration, parameter_models, systems

Schema = dict[str, Any]
_TABLE = "| parameter | type | default | meaning |\n|---|---|---|---|\n"
_ENTRIES = "| entry | kind | sets |\n|---|---|---|\n"
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_COMMENTED = """
<details markdown="1">
<summary>{file}, with its comments</summary>

```yaml
{text}```

</details>
"""


def parameter_tables() -> str:
    """A section per section of the parameters, by name: a table, and one per model inside it."""
    values, models = configuration("parameters"), parameter_models()
    sections = sorted({*models, *(name for name in values if isinstance(values[name], dict))})
    return "\n".join(_section(name, models.get(name), values[name]) for name in sections)


def _section(name: str, model: type[Any] | None, values: Schema) -> str:
    schema = {} if model is None else model.model_json_schema()
    tables = _tables(name, schema, schema.get("$defs", {}), values) if model else ()
    text = "\n".join([*tables, *_systems(name, values)])
    file = f"conf/base/parameters/{name}.yml"
    known = (ROOT / file).exists()
    commented = _COMMENTED.format(file=file, text=(ROOT / file).read_text("utf-8")) if known else ""
    return f"## {name}\n\n{text}{commented}"


def _tables(path: str, model: Schema, models: Schema, values: Schema) -> Iterator[str]:
    """Write the table of a model, then those of the models inside it."""
    fields = model["properties"]
    rows = [_row(name, field, values.get(name, ""), models) for name, field in fields.items()]
    yield f"{model['description']}\n\n{_TABLE}{''.join(rows)}"
    for name, field in fields.items():
        for inner, named in _inner_models(field):
            where = f"{path}.{name}.<name>" if named else f"{path}.{name}"
            yield f"### `{where}`\n"
            own = {} if named else values.get(name) or {}  # null: the section is left out
            yield from _tables(where, models[inner], models, own)


def _systems(path: str, values: object) -> Iterator[str]:
    """Write a table of the entries that choose systems, and one for every kind among them."""
    inner = values if isinstance(values, dict) else {}
    named = isinstance(values, dict)
    entries = values if named else dict(enumerate(values)) if isinstance(values, list) else {}
    folder = _folder_of(list(entries.values()))
    if folder is None:
        for name, value in inner.items():
            yield from _systems(f"{path}.{name}", value)
        return
    rows = [_entry(str(name), entry) for name, entry in entries.items()]
    yield f"### Entries of `{path}`\n\n{_ENTRIES}{''.join(rows)}"
    for kind in dict.fromkeys(entry["kind"] for entry in entries.values()):
        file = systems()[folder][kind]
        schema = file.Params.model_json_schema()
        if not hasattr(file, "SECTION") and schema.get("properties"):
            yield f"### Fields of kind `{kind}`\n"
            yield from _tables(f"{path}.<name>", schema, schema.get("$defs", {}), {})


def _folder_of(entries: list[Any]) -> str | None:
    """Return the folder that holds the kinds of all entries; None if they are not entries."""
    kinds = {entry.get("kind") if isinstance(entry, dict) else None for entry in entries}
    held = [folder for folder, files in systems().items() if kinds <= set(files)]
    return held[0] if entries and held else None


def _entry(name: str, entry: Schema) -> str:
    """Write the row of an entry: its name, its kind and what it sets."""
    own = {field: value for field, value in entry.items() if field != "kind"}
    fields = ", ".join(f"`{field}: {json.dumps(value)}`" for field, value in own.items())
    return f"| `{name}` | `{entry['kind']}` | {fields or '–'} |\n"


def _inner_models(field: Schema) -> Iterator[tuple[str, bool]]:
    """Models that a field holds, and whether it holds many of them by name."""
    for option in (field, *field.get("anyOf", ())):
        for named, inner in ((False, option), (True, option.get("additionalProperties"))):
            if isinstance(inner, dict) and "$ref" in inner:
                yield inner["$ref"].rpartition("/")[2], named


def _row(name: str, field: Schema, value: object, models: Schema) -> str:
    inner = list(_inner_models(field))
    shown = _value(value, [named for _, named in inner])
    meaning = field.get("description") or "".join(models[one]["description"] for one, _ in inner)
    cells = [f"`{name}`", _type(field), shown, meaning.partition("\n")[0]]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _value(value: object, holds: list[bool]) -> str:
    """Show a value; empty where it stands under a name that is not known here."""
    if value == "":
        return ""
    if holds and isinstance(value, dict):
        return ", ".join(f"`{name}`" for name in value) if any(holds) else "below"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(field: Schema) -> str:
    """Say in words what a field takes.

    Example:
        >>> _type({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
        'integer ≥ 1 or null'
    """
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(f"`{choice}`" for choice in field.get("enum", [field.get("const")]))
    if "prefixItems" in field:
        return f"[{', '.join(_type(item) for item in field['prefixItems'])}]"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if isinstance(field.get("additionalProperties"), dict):
        return f"name → {_type(field['additionalProperties'])}"
    bounds = [f"{sign} {field[key]:g}" for key, sign in _BOUNDS.items() if key in field]
    return " ".join([field.get("type", "section" if "$ref" in field else "any"), *bounds])

"""docs/settings.md: every setting as a table of what it may be, its default and what it means."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from headrace.models import MODELS
from headrace.section import Section

_HEAD = """# Settings

`headrace build --settings settings.toml` and `headrace demo --settings settings.toml` read a TOML file; what it leaves
out keeps its default, and an unknown name is an error. For example:

```toml
seed = 7

[page]
ranked = 500
shown = 40

[reranking]
theta = 0.6
rules = [
    {rule = "max_run", kind = "category", k = 5},
    {rule = "one_in_window", kind = "marked", window = 9},
    {rule = "max_in_prefix", kind = "marked", first = 4, most = 1},
]
```

`headrace settings > docs/settings.md` writes this page. Where none is a choice, leaving the setting out makes it.
"""
_WORDS = {int: "integer", float: "number", bool: "true or false", str: "text"}
_LIMITS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "min_length": "at least {} long",
}


def settings_page(settings: Section) -> str:
    """The page of these settings as Markdown; their values are the defaults that it states."""
    return "\n".join([_HEAD, *_section("", type(settings), dict(settings)), *_networks()])


def _networks() -> Iterator[str]:
    """The settings of every ranking network, of which the page's own sections have those that are used."""
    yield from (
        "## Ranking networks",
        "",
        "What `network` may hold, by the `model` of the ranker or the pre-ranker.",
        "",
    )
    for name, model in MODELS.items():
        yield from (f"### `{name}`", "", inspect.cleandoc(model.__doc__ or ""), "")
        yield from _section("network.", model.Settings, _own(model.Settings))


def _section(path: str, section: type[Section], defaults: Mapping[str, Any]) -> Iterator[str]:
    """The table of a section, then the sections inside it."""
    yield from ("| setting | what it may be | default | what it is |", "|---|---|---|---|")
    inside: list[tuple[str, type[Section], Mapping[str, Any]]] = []
    for name, field in section.model_fields.items():
        value = defaults.get(name)
        inner = list(_inside(f"{path}{name}", field.annotation, value))
        own_tables = bool(inner) and not inner[0][0].startswith("[[")
        default = "" if own_tables else _default(field, value)
        words = (f"`{name}`", _kind(field.annotation, field.metadata), default, field.description or "")
        yield f"| {' | '.join(word.replace('|', chr(92) + '|') for word in words)} |"
        inside += inner
    yield ""
    for place, kind, values in inside:
        yield from (f"## `{place}`" + (f" {kind.__name__}" if place.startswith("[[") else ""), "")
        yield from (inspect.cleandoc(kind.__doc__ or ""), "")
        yield from _section(f"{place.strip('[]')}.", kind, values)


def _inside(place: str, annotation: Any, value: object) -> Iterator[tuple[str, type[Section], Mapping[str, Any]]]:
    """The sections that a field holds: where each stands in a file, its class, and its defaults.

    The classes are those of the values, which may have been found in a registry; else those of the annotation.
    """
    if isinstance(value, Section):
        yield f"[{place}]", type(value), dict(value)
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _inside(f"{place}.{name}", type(one), one)
    else:
        alone = any(isinstance(part, type) and issubclass(part, Section) for part in _parts(annotation))
        for kind in _sections(annotation):
            yield f"[{place}]" if alone else f"[[{place}]]", kind, _own(kind)


def _own(section: type[Section]) -> dict[str, Any]:
    fields = section.model_fields.items()
    return {name: field.get_default(call_default_factory=True) for name, field in fields if not field.is_required()}


def _default(field: FieldInfo, value: object) -> str:
    return "required" if field.is_required() else "none" if value is None else f"`{_toml(value)}`"


def _toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, Section):
        value = dict(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _parts(annotation: Any) -> list[Any]:
    """The alternatives of a union, without what is said about them."""
    if get_origin(annotation) is Annotated:
        return _parts(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for part in get_args(annotation) for inner in _parts(part)]
    return [annotation]


def _sections(annotation: Any) -> Iterator[type[Section]]:
    """Every section in a field, also in its lists."""
    for part in _parts(annotation):
        if isinstance(part, type) and issubclass(part, Section):
            yield part
        else:
            for inner in get_args(part):
                yield from _sections(inner)


def _kind(annotation: Any, metadata: list[Any]) -> str:
    if get_origin(annotation) is Annotated:
        inner = [one for said in annotation.__metadata__ for one in getattr(said, "metadata", [said])]
        return _kind(annotation.__origin__, [*metadata, *inner])
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [_kind(part, []) for part in get_args(annotation) if part is not type(None)]
        return " or ".join([*parts, *(["none"] if type(None) in get_args(annotation) else [])]) + _range(metadata)
    return _word(annotation) + _range(metadata)


def _word(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{_toml(one)}`" for one in inner)
    if origin in (tuple, list) and any(_sections(annotation)):
        return "list of sections, below"
    if origin in (tuple, list):
        kinds = [_kind(one, []) for one in inner if one is not Ellipsis]
        return f"list of {kinds[0]}" if len(kinds) < len(inner) or origin is list else f"list: {', '.join(kinds)}"
    if origin is dict and any(_sections(inner[1])):
        return "sections by name"
    if origin is dict:
        return f"table of {_kind(inner[1], [])} by name"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    return _WORDS.get(annotation, str(annotation))


def _range(constraints: list[Any]) -> str:
    """What a number may be, of constraints such as `Ge(ge=1)`."""
    found = {name: getattr(one, name) for one in constraints for name in _LIMITS if hasattr(one, name)}
    return "".join(f", {words.format(found[name])}" for name, words in _LIMITS.items() if name in found)

"""Fills a settings class from a YAML file, the environment and flags; every mistake is one sentence."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec

from podsonar.errors import InputError, SettingsError
from podsonar.input_file import read_input
from podsonar.masking import masked
from podsonar.yaml_text import NotYamlError, load_yaml

Settings = TypeVar("Settings", bound=msgspec.Struct)
LIST_SEPARATOR = ","
MOST_BYTES = 1 << 20


def leaves(cls: type[msgspec.Struct], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """`(path of camelCase keys, type, default)` of every setting that is not a group."""
    for field in msgspec.structs.fields(cls):
        where = (*path, field.encode_name)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from leaves(field.type, where)
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            yield where, field.type, default


def snake(key: str) -> str:
    """`collectionWindowInMin` as `collection_window_in_min`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", key).lower()


def environment_name(path: tuple[str, ...]) -> str:
    """`PODSONAR_DATA_CRON_EXPRESSION` for `data.cron.expression`."""
    return "PODSONAR_" + "_".join(snake(key) for key in path).upper()


def flag_name(path: tuple[str, ...]) -> str:
    """`--data-cron-expression` for `data.cron.expression`."""
    return "--" + "-".join(snake(key).replace("_", "-") for key in path)


def textual(path: tuple[str, ...], kind: Any, text: str) -> Any:  # noqa: ANN401
    """The value of a text from the environment or a flag: lists by commas, maps as YAML."""
    named = str(kind)
    if "list[str]" in named:
        return [word for word in text.split(LIST_SEPARATOR) if word]
    if "dict" in named or "list" in named:
        try:
            return load_yaml(text)
        except NotYamlError as error:
            raise SettingsError(
                f"setting {'.'.join(path)} is no YAML ({error}), expected a mapping or a list"
            ) from None
    if kind is bool:
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
    return text


def place(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:  # noqa: ANN401
    """Put a value into a nested dictionary."""
    for key in path[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            raise SettingsError(f"setting {key} is {masked(below)!r}, expected a mapping of keys")
        tree = below
    tree[path[-1]] = value


def from_file(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        content = load_yaml(read_input(file, "settings file", MOST_BYTES, "a mapping in YAML"))
    except InputError as error:
        raise SettingsError(str(error)) from error
    except NotYamlError as error:
        raise SettingsError(f"settings file {str(file)!r} is not YAML: {error}; expected a mapping of keys") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"settings file {str(file)!r} holds a {type(content).__name__}, expected a mapping of keys")
    return content


def value_at(tree: Any, path: list[str]) -> Any:  # noqa: ANN401
    """The value at a path of keys, or None."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def explained(cls: type[msgspec.Struct], tree: dict[str, Any], error: msgspec.ValidationError) -> SettingsError:
    """The sentence for a value that does not fit: key, value, expected, and the nearest key for an unknown one."""
    text = str(error)
    what, _, where = text.partition(" - at `$")
    path = [key for key in re.split(r"[.\[]", where.rstrip("`")) if key]
    unknown = re.search(r"unknown field `(.*)`", what)
    if unknown:
        full = ".".join([*path, unknown[1]])
        known = [".".join(leaf) for leaf, _kind, _default in leaves(cls)]
        known += sorted({".".join(leaf.split(".")[:-1]) for leaf in known} - {""})
        near = difflib.get_close_matches(full, known, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        return SettingsError(f"setting {full} is not known{hint}")
    choices = [
        get_args(kind) for leaf, kind, _default in leaves(cls) if list(leaf) == path and get_origin(kind) is Literal
    ]
    if choices:
        what = f"expected {' or '.join(choices[0])}"
    return SettingsError(f"setting {'.'.join(path)} is {masked(value_at(tree, path))!r}: {what[:1].lower()}{what[1:]}")


def load(
    cls: type[Settings], file: Path | None, environment: Mapping[str, str], flags: Mapping[tuple[str, ...], str]
) -> Settings:
    """The settings; SettingsError names the key, the value and what was expected."""
    tree = from_file(file) if file else {}
    for path, kind, _default in leaves(cls):
        text = flags.get(path, environment.get(environment_name(path)))
        if text is None and path == ("node", "name"):
            text = environment.get("NODE_NAME")
        if text is not None:
            place(tree, path, textual(path, kind, text))
    try:
        return msgspec.convert(tree, cls, strict=False)
    except msgspec.ValidationError as error:
        raise explained(cls, tree, error) from error

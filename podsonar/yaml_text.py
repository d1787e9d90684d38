"""YAML as the JSON that it stands for: settings, kubeconfigs, policies, experiments. What JSON has not, is refused.

PyYAML makes dates, sets and bytes of texts, keeps the last of two equal keys, and raises whatever Python raises for an
odd number; aliases make a tree of any size of a few lines. It is read in Python: the C parser ends the process where
brackets nest deeply.
"""

import math
from typing import Any, ClassVar

import yaml

from podsonar.clean_text import FORBIDDEN

MOST_VALUES = 100_000  # of a document with aliases, each counted where it stands
MOST_LEVELS = 100  # of brackets within brackets
TOO_DEEP = "nests too deep"
TIMESTAMP = "tag:yaml.org,2002:timestamp"
FOREIGN = (TIMESTAMP, *("tag:yaml.org,2002:" + name for name in ("binary", "omap", "pairs", "set")))


class NotYamlError(ValueError):
    """Where and why a text is no such YAML; it repeats nothing of the text, which may hold a password."""


class RefusedNodeError(yaml.MarkedYAMLError):
    """A node that has no value in JSON, and why."""

    def __init__(self, node: yaml.Node, why: str) -> None:
        super().__init__(problem=why, problem_mark=node.start_mark)


class JsonLoader(yaml.SafeLoader):
    """Makes mappings with texts for keys, each once, lists, texts, finite numbers, booleans and null."""

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]  # one of an instance in the stubs
        first: [(tag, pattern) for tag, pattern in found if tag != TIMESTAMP]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    yaml_constructors: ClassVar = {
        tag: made for tag, made in yaml.SafeLoader.yaml_constructors.items() if tag not in FOREIGN
    }

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:  # noqa: ANN401, N803 - PyYAML's
        """Take one more `[` or `{`; PyYAML's time for each grows with how many are open."""
        if self.flow_level >= MOST_LEVELS:
            raise NotYamlError(TOO_DEEP)
        super().fetch_flow_collection_start(TokenClass)

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - PyYAML's
        """The node of a mapping, before what it merges is in it."""
        node = super().compose_mapping_node(anchor)
        known: set[str] = set()
        for key, _value in node.value:
            if key.value in known if isinstance(key, yaml.ScalarNode) else True:
                raise RefusedNodeError(key, "a key that its mapping has already, or that is no text")
            known.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401 - PyYAML's
        """The value of a node."""
        try:
            found = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise RefusedNodeError(node, "a value that its type has not") from error
        if isinstance(found, str) and FORBIDDEN.search(found):
            raise RefusedNodeError(node, "a character that no text may hold")
        if isinstance(found, float) and not math.isfinite(found):
            raise RefusedNodeError(node, "a number that is none")
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        if not all(isinstance(key, str) for key in found):
            raise RefusedNodeError(node, "a key that is no text")
        return found


def load_yaml(text: str | bytes) -> Any:  # noqa: ANN401 - YAML
    """The one document of a text, None for an empty one; NotYamlError."""
    documents = load_documents(text)
    if len(documents) > 1:
        raise NotYamlError("several documents, expected one")
    return documents[0] if documents else None


def load_documents(text: str | bytes) -> list[Any]:
    """Every document of a text; NotYamlError."""
    try:
        documents = list(yaml.load_all(text, JsonLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "an unknown place"
        why = f": {error.problem}" if isinstance(error, RefusedNodeError) else ""
        raise NotYamlError(place + why) from None
    except RecursionError:
        raise NotYamlError(TOO_DEEP) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise NotYamlError("bytes that are no text") from None
    has_aliases = "*" in text if isinstance(text, str) else b"*" in text
    if has_aliases and not is_small(documents):
        raise NotYamlError(f"aliases that make more than {MOST_VALUES} values of it")
    return documents


def is_small(value: Any) -> bool:  # noqa: ANN401 - YAML
    """Whether a value has a bounded number of values below it, each counted where it stands."""
    waiting, number = [value], 0
    while waiting and number <= MOST_VALUES:
        one = waiting.pop()
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        number += len(inner)
        waiting += inner
    return number <= MOST_VALUES

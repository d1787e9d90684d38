"""Writes collector/inventory/field_table.txt: every field of the listed kinds, by the models of the kubernetes library.

    python deploy/field_table.py > collector/inventory/field_table.txt

Run it after an update of the library, and look at what is new: a field that holds free text needs a rule in
collector/inventory/field_table.py.
"""

import re
import sys
import textwrap
from pathlib import Path

from kubernetes.client import models

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from collector.k8s.kinds import KINDS

PREFIX = re.compile(r"^(?:V\d+(?:alpha|beta)?\d*|CoreV1)")
MODEL = re.compile(r"\b(?:V\d|CoreV1)\w+")
MAP = re.compile(r"dict[\[(]", re.IGNORECASE)


def short(model: str) -> str:
    """The name of a type in the table: `PodSpec` of `V1PodSpec`."""
    return PREFIX.sub("", model)


def fields(model: str) -> dict[str, str]:
    """The fields of a model by their name in JSON, with the type as the library writes it."""
    cls = getattr(models, model)
    return {cls.attribute_map[name]: kind for name, kind in cls.openapi_types.items()}


def entry(name: str, kind: str) -> str:
    """A field of the table: `name`, `name:Type` of an object or a list of them, `name{}` of a map of strings."""
    inner = MODEL.search(kind)
    if inner:
        return f"{name}:{short(inner[0])}"
    return name + ("{}" if MAP.search(kind) else "")


def table() -> str:
    """A line per type, wrapped; in the order in which the kinds lead to them."""
    waiting = [f"V1{kind.name}" for kind in KINDS]
    lines: dict[str, str] = {}
    while waiting:
        model = waiting.pop(0)
        if short(model) in lines:
            continue
        types = fields(model)
        waiting += [inner[0] for kind in types.values() if (inner := MODEL.search(kind))]
        line = " ".join((f"{short(model)}:", *(entry(name, kind) for name, kind in sorted(types.items()))))
        lines[short(model)] = "\n".join(textwrap.wrap(line, 118, subsequent_indent="  ", break_long_words=False))
    return "\n".join(lines.values()) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())

"""Which fields a kind has, and which of them hold free text: what the redaction decides by.

`field_table.txt` has every field that the listed kinds have in the Kubernetes API (deploy/field_table.py writes it). A
line is a type and its fields: `name` is a scalar or a list of scalars, `name:Type` an object or a list of objects,
`name{}` a map of strings. `FREE_TEXT` names the fields whose values people write as they like: they do not leave
unless asked for.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Union

from collector.inventory.redacted_text import NAMES_A_SECRET, mark
from collector.k8s.kinds import KINDS
from podsonar.errors import SettingsError

TABLE = Path(__file__).with_name("field_table.txt")

FREE_TEXT: dict[str, str] = {
    **dict.fromkeys(("Container.command", "EphemeralContainer.command"), "command"),
    **dict.fromkeys(("Container.args", "EphemeralContainer.args"), "args"),
    "EnvVar.value": "env",
    "ExecAction.command": "exec_command",
    "HTTPHeader.value": "http_header",
    "ObjectMeta.annotations": "annotation",
    "PodCertificateProjection.userAnnotations": "annotation",
    "NodeConfigStatus.error": "message",
    "CSIVolumeSource.volumeAttributes": "volume_options",
    "FlexVolumeSource.options": "volume_options",
    "WindowsSecurityContextOptions.gmsaCredentialSpec": "credential_spec",
}
ANY_TYPE = {"message": "message"}  # free text wherever a field has this name
COPIES = ("kubectl.kubernetes.io/last-applied-configuration", "consul.hashicorp.com/original-pod")  # whole objects
NEVER_KEPT = frozenset(("env", "http_header", "credential_spec"))
# Items that the replicas of a workload have in common, but for the field named here: its redaction is done once.
REPEATED = {"Container": "volumeMounts", "Volume": "name"}
LABELS, SELECTORS = ("labels",), ("selector", "matchLabels", "nodeSelector")


@dataclass(frozen=True, slots=True)
class FreeText:
    """A field with free text: replaced whole under `rule`, or kept and searched for what looks like a credential."""

    rule: str
    kept: bool
    mark: str = field(init=False)

    def __post_init__(self) -> None:
        """Build the mark once: it replaces thousands of values."""
        object.__setattr__(self, "mark", mark(self.rule))


@dataclass(frozen=True, slots=True)
class StringMap:
    """A map of strings that leaves; where it holds labels, `rule` marks the value of a label that is named a secret."""

    rule: str | None = None


class Dropped:
    """A field that is left out."""


Action = Union[FreeText, StringMap, Dropped, "Fields", None]  # None: a scalar or a list of scalars that leaves
Shape = tuple[str, ...]
Step = tuple[str, Action]


@dataclass(frozen=True, slots=True)
class Fields:
    """The action for each field of an object; `plans` has the steps for objects with the same fields.

    Where objects are `REPEATED`, `aside` is the field in which they differ, and `done` has what became of the rest.
    """

    known: dict[str, Action]
    aside: str | None = None
    plans: dict[Shape, tuple[Step, ...]] = field(default_factory=dict)
    done: dict[bytes, "Done"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """What redaction made of an object: the fields that it replaced, and by how much its counters grew."""

    replaced: dict[str, Any]
    counts: tuple[tuple[str, int], ...]
    visited: int


DROPPED = Dropped()


@cache
def types() -> dict[str, dict[str, str]]:
    """The fields of each type: `:Type`, `{}` or nothing by field name."""
    found: dict[str, dict[str, str]] = {}
    for line in re.sub(r"\n +", " ", TABLE.read_text(encoding="utf-8")).splitlines():
        name, _, fields = line.partition(": ")
        pairs = (re.fullmatch(r"(\w+)(:\w+|\{\})?", field) for field in fields.split())
        found[name] = {pair[1]: pair[2] or "" for pair in pairs if pair}
    return found


def rule_of(type_name: str, name: str) -> str | None:
    """The rule of a field that holds free text; None for every other."""
    return FREE_TEXT.get(f"{type_name}.{name}") or ANY_TYPE.get(name)


def free_paths(type_name: str, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """`(path, rule)` of each field of free text below a type: `spec.containers.args` in a Pod."""
    for name, kind in types()[type_name].items():
        rule = rule_of(type_name, name)
        if rule:
            yield ".".join((*path, name)), rule
        elif kind.startswith(":"):
            yield from free_paths(kind[1:], (*path, name))


def is_kept(path: str, keep: Sequence[str]) -> bool:
    """Whether an entry names the path, from its beginning or from any field in it."""
    return any(path == entry or path.endswith("." + entry) for entry in keep)


def fields_of(type_name: str, keep: Sequence[str] | None, path: str = "") -> Fields:
    """The action for each field of a type; `keep` lists free text that leaves, None keeps all that may be kept."""
    known: dict[str, Action] = {}
    for name, kind in types()[type_name].items():
        where = f"{path}.{name}" if path else name
        rule = rule_of(type_name, name)
        if rule:
            kept = rule not in NEVER_KEPT and (keep is None or is_kept(where, keep))
            known[name] = FreeText(rule, kept)
        elif name == "managedFields":
            known[name] = DROPPED
        elif kind == "{}":
            known[name] = StringMap("label" if name in LABELS else "selector" if name in SELECTORS else None)
        else:
            known[name] = fields_of(kind[1:], keep, where) if kind else None
    return Fields(known, REPEATED.get(type_name))


@cache
def all_free_paths() -> dict[str, str]:
    """The rule of each path of free text, of every kind."""
    return {path: rule for kind in KINDS for path, rule in free_paths(kind.name)}


def checked_keep(keep: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """The paths and the annotation keys of `redaction.keep`; SettingsError for what is neither or may not be kept.

    An annotation's key has a slash, or stands after `annotations.`.
    """
    paths, keys = [], set()
    for entry in keep:
        key = entry if "/" in entry else entry.removeprefix("annotations.") if entry.startswith("annotations.") else ""
        key = key.removeprefix("annotations.")
        if key in COPIES or NAMES_A_SECRET.search(key):
            what = "holds copies of whole objects" if key in COPIES else "is named after a secret"
            raise SettingsError(f"setting redaction.keep has {entry!r}, which {what}: its values never leave")
        if key:
            keys.add(key)
            continue
        rules = {rule for path, rule in all_free_paths().items() if is_kept(path, [entry])}
        if not rules:
            near = difflib.get_close_matches(entry, all_free_paths(), 1, 0.5)
            raise SettingsError(
                f"setting redaction.keep has {entry!r}, expected an annotation's key such as example.com/team or a "
                f"path of free text such as {near[0] if near else 'spec.containers.args'}"
            )
        if rules & NEVER_KEPT:
            raise SettingsError(f"setting redaction.keep has {entry!r}, whose values never leave")
        paths.append(entry)
    return paths, frozenset(keys)

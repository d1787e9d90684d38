"""Walks an object by the table of its kind's fields: structure stays, free text is replaced whole and counted.

Names, labels, selectors, owners, ports, images, references, phases and times are structure. A field that the table
does not have is of a newer API: its numbers and booleans stay, all else of it is replaced.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import orjson

from collector.inventory.field_table import (
    COPIES,
    Action,
    Done,
    Dropped,
    Fields,
    FreeText,
    Shape,
    Step,
    StringMap,
    checked_keep,
    fields_of,
)
from collector.inventory.redacted_text import NAMES_A_SECRET, NEXT_FLAG, is_flag, redacted_text

Mode = Literal["structure", "patterns"]
NO_PLANS: dict[Shape, tuple[Step, ...]] = {}
COPY = FreeText("last_applied", kept=False)
ANNOTATION, KEPT_ANNOTATION = FreeText("annotation", kept=False), FreeText("annotation", kept=True)
UNKNOWN_FIELD = FreeText("unknown_field", kept=False)
UNKNOWN_KEPT = FreeText("unknown_field", kept=True)
COMPOSITE, COMPOSITE_OR_TEXT = (list, dict), (str, list, dict)
MOST_PLANS = 1024  # of shapes of one type: optional fields come and go
MOST_DONE, LONGEST_DONE = 128, 16 << 10  # API servers list the replicas of a workload one after another
# As no string looks, where a quote has a backslash before it; and as no field of the table does.
OBJECT, LIST_IN_LIST = b'{"', (b"[[", b",[")
DEEPEST = (
    8  # of what is kept of an unknown field; the manager takes JSON of 32 levels, of which fields have their share
)

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
NUMBER = re.compile(r"-?[0-9]{1,12}")
HASH = re.compile(r"[0-9a-f]{8,128}")
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,20}(?:Z|[+-][0-9]{2}:[0-9]{2})")
SWITCH = re.compile(r"true|false|enabled|disabled")
# Annotations that Kubernetes and its tools read, and that hold no free text: the value must look like this to stay.
WELL_KNOWN = {
    "kubernetes.io/config.hash": re.compile(r"[0-9a-f-]{8,64}"),
    "kubernetes.io/config.mirror": re.compile(r"[0-9a-f-]{8,64}"),
    "kubernetes.io/config.seen": TIME,
    "kubernetes.io/config.source": re.compile(r"api|file|http"),
    "deployment.kubernetes.io/revision": NUMBER,
    "deployment.kubernetes.io/desired-replicas": NUMBER,
    "deployment.kubernetes.io/max-replicas": NUMBER,
    "deprecated.daemonset.template.generation": NUMBER,
    "controller.kubernetes.io/pod-deletion-cost": NUMBER,
    "batch.kubernetes.io/job-completion-index": NUMBER,
    "batch.kubernetes.io/cronjob-scheduled-timestamp": TIME,
    "cronjob.kubernetes.io/instantiate": re.compile("manual"),
    "kubectl.kubernetes.io/restartedAt": TIME,
    "kubectl.kubernetes.io/default-container": WORD,
    "node.alpha.kubernetes.io/ttl": NUMBER,
    "volumes.kubernetes.io/controller-managed-attach-detach": SWITCH,
    "cluster-autoscaler.kubernetes.io/safe-to-evict": SWITCH,
    "prometheus.io/scrape": SWITCH,
    "prometheus.io/port": NUMBER,
    "prometheus.io/scheme": re.compile("https?"),
    "checksum/config": HASH,
    "checksum/secret": HASH,
    "sidecar.istio.io/inject": SWITCH,
    "linkerd.io/inject": SWITCH,
    "meta.helm.sh/release-name": WORD,
    "meta.helm.sh/release-namespace": WORD,
}
# Labels stay, they are what selectors select by; but not the value of one that is called so.
SECRET_LABELS = frozenset(
    (
        *("password", "passwd", "pwd", "passphrase", "pass", "token", "credential", "credentials"),
        *("api-key", "api_key", "apikey", "secret-key", "secret_key", "access-key", "access_key"),
        *("private-key", "private_key", "client-secret", "client_secret", "auth-token", "access-token"),
    )
)


class Structure:
    """Redacts parsed objects in place; `counts` has the number of replacements per rule."""

    def __init__(self, mode: Mode, keep: Sequence[str], counts: Counter[str]) -> None:
        paths, self.annotation_keys = checked_keep(keep)
        self.paths = None if mode == "patterns" else paths
        self.unknown = UNKNOWN_KEPT if mode == "patterns" else UNKNOWN_FIELD
        self.counts = counts
        self.strict = mode == "patterns"
        self.visited = 0  # objects that are not empty; each begins with `{"` in JSON, as no string does
        self.kinds: dict[str, Fields] = {}

    def redact(self, kind: str, obj: dict[str, Any]) -> None:
        """Replace the free text of an object of a kind."""
        fields = self.kinds.get(kind)
        if fields is None:
            fields = self.kinds[kind] = fields_of(kind, self.paths)
        self.redact_fields(obj, fields)

    def redact_fields(self, obj: dict[str, Any], fields: Fields) -> None:
        """Replace the free text in an object that has these fields."""
        shape = tuple(obj)
        if shape:
            self.visited += 1
        strict = self.strict
        plan = None if strict else fields.plans.get(shape)
        if plan is None:
            plan = self.plan(obj, fields, shape)
        for key, action in plan:
            value = obj[key]
            if type(action) is Fields:
                if type(value) is dict:
                    self.redact_fields(value, action)
                elif type(value) is list:
                    self.redact_items(value, action)
                else:
                    obj[key] = self.whole(value, self.unknown)
            elif type(value) is str and type(action) is FreeText and not action.kept:  # by far the most
                if value and value != action.mark:
                    self.counts[action.rule] += 1
                    obj[key] = action.mark
            else:
                self.redact_value(obj, key, value, action)

    def redact_items(self, items: list[Any], fields: Fields) -> None:
        """Replace the free text in a list of objects that have these fields."""
        plans = NO_PLANS if self.strict else fields.plans
        redact = self.redact_fields if self.strict or fields.aside is None else self.redact_repeated
        for place, item in enumerate(items):
            if type(item) is not dict:
                items[place] = self.whole(item, self.unknown)
            elif plans.get(tuple(item)) == ():  # most of them: nothing but scalars that leave
                self.visited += bool(item)
            else:
                redact(item, fields)

    def redact_repeated(self, obj: dict[str, Any], fields: Fields) -> None:
        """Replace the free text in an object that others equal but for one field: what became of the first is known."""
        aside = fields.aside or ""
        held = obj.get(aside)
        action = fields.known[aside]
        if not obj or (held is not None and type(held) is not (str if action is None else list)):
            self.redact_fields(obj, fields)
            return
        rest = {**obj, aside: None}
        key = orjson.dumps(rest)
        done = fields.done.get(key)
        if done is None:
            self.redact_first(obj, fields, key, rest, aside)
        else:
            obj.update(done.replaced)
            self.visited += done.visited
            for rule, count in done.counts:
                self.counts[rule] += count
        if type(held) is list and type(action) is Fields:
            self.redact_items(held, action)

    def redact_first(self, obj: dict[str, Any], fields: Fields, key: bytes, rest: dict[str, Any], aside: str) -> None:
        """Replace the free text in `rest`, which is an object without the field in which others differ.

        What became of it is kept only where nothing in it has another shape than the table's.
        """
        counts, visited = self.counts, self.visited
        self.counts = Counter()
        self.redact_fields(rest, fields)
        counted, self.counts = self.counts, counts
        counts.update(counted)
        del rest[aside]
        replaced = {name: held for name, held in rest.items() if type(held) in COMPOSITE or held is not obj[name]}
        obj.update(replaced)
        if len(key) > LONGEST_DONE:
            return
        done = Done(replaced, tuple(counted.items()), self.visited - visited)
        text = orjson.dumps(rest)
        if done.visited == text.count(OBJECT) and not any(odd in text for odd in LIST_IN_LIST):
            if len(fields.done) >= MOST_DONE:
                fields.done.clear()
            fields.done[key] = done

    def plan(self, obj: dict[str, Any], fields: Fields, shape: Shape) -> tuple[Step, ...]:
        """The fields with which something is to be done, for objects that have the same fields.

        Nothing is with a scalar that leaves. That it is one is looked at only in a strict pass.
        """
        steps: list[Step] = []
        for key in shape:
            action = fields.known.get(key, self.unknown)
            if action is not None or (self.strict and type(obj[key]) in COMPOSITE):
                steps.append((key, action))
        if self.strict:
            return tuple(steps)
        if len(fields.plans) >= MOST_PLANS:
            fields.plans.clear()
        plan = fields.plans[shape] = tuple(steps)
        return plan

    def redact_value(self, obj: dict[str, Any], key: str, value: Any, action: Action) -> None:  # noqa: ANN401 - JSON
        """Replace what is free text in a field that is no object that the table has."""
        kind = type(value)
        if type(action) is Dropped:
            del obj[key]
            self.counts["managed_fields"] += 1
        elif kind is list and action is None:
            for place, item in enumerate(value):
                if type(item) is dict or type(item) is list:
                    value[place] = self.whole(item, self.unknown)
        elif kind is list and type(action) is FreeText and action is not self.unknown and not action.kept:
            marked = action.mark
            self.counts[action.rule] += len(value) - value.count(marked)
            obj[key] = [marked] * len(value)
        elif kind is dict and type(action) is StringMap:
            self.visited += bool(value)
            self.redact_map(value, action)
        elif kind is dict and type(action) is FreeText and action is not self.unknown:
            self.visited += bool(value)
            if action.rule == "annotation":
                self.redact_annotations(value, action)
            else:
                for name, held in value.items():
                    value[name] = self.whole(held, action)
        else:
            obj[key] = self.whole(value, action if type(action) is FreeText else self.unknown)

    def redact_map(self, value: dict[str, Any], action: StringMap) -> None:
        """Keep a map of strings, but for the value of a label that is named a secret."""
        if self.strict:
            for key, held in value.items():
                if type(held) in COMPOSITE:
                    value[key] = self.whole(held, self.unknown)
        if action.rule and not SECRET_LABELS.isdisjoint(value):
            for key in SECRET_LABELS & value.keys():
                value[key] = self.whole(value[key], FreeText(action.rule, kept=False))

    def redact_annotations(self, value: dict[str, Any], action: FreeText) -> None:
        """Keep well-known annotations and those asked for, but neither copies of objects nor what is named a secret."""
        for key, held in value.items():
            pattern = WELL_KNOWN.get(key)
            if pattern is not None and type(held) is str and pattern.fullmatch(held):
                continue
            if key in COPIES:
                value[key] = self.whole(held, COPY)
            elif (action.kept or key in self.annotation_keys) and not NAMES_A_SECRET.search(key):
                value[key] = self.whole(held, KEPT_ANNOTATION)
            else:
                value[key] = self.whole(held, ANNOTATION)

    def whole(self, value: Any, action: FreeText, depth: int = 0) -> Any:  # noqa: ANN401 - JSON
        """A value of free text: the mark, or what the rules for patterns leave of it where it is kept."""
        kind = type(value)
        if not action.kept or depth > DEEPEST:
            marked = action.mark
            if kind not in COMPOSITE_OR_TEXT or not value or value == marked:
                return value
            self.counts[action.rule] += 1
            return marked
        if kind is str:
            return redacted_text(value, self.counts)
        if kind is list:
            return self.sequence(value, action, depth)
        if kind is dict:
            return {key: self.whole(held, action, depth + 1) for key, held in value.items()}
        return value

    def sequence(self, value: list[Any], action: FreeText, depth: int) -> list[Any]:
        """A kept list: what follows a flag that is named a secret is its value."""
        kept: list[Any] = []
        flagged = False
        for item in value:
            if flagged and type(item) is str and not NEXT_FLAG.fullmatch(item):
                kept.append(self.whole(item, FreeText("argument", kept=False)))
                flagged = False
                continue
            flagged = type(item) is str and is_flag(item)
            kept.append(self.whole(item, action, depth + 1))
        return kept

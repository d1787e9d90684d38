"""Generated policies as YAML with comments: the evidence of each rule above it. Pure."""

from collections.abc import Iterable, Sequence

import yaml

from manager.policies.generate import GeneratedPolicy
from podsonar.logs_and_probes import escape

SHOWN = 8  # lines of evidence per rule


def comment(text: str, indent: int) -> str:
    """A line that is a comment, whatever the text contains."""
    return f"{' ' * indent}# {escape(text)}"


def evidence_lines(lines: Sequence[str], indent: int) -> list[str]:
    """The evidence of a rule; of much of it the first lines."""
    shown = [comment(text, indent) for text in lines[:SHOWN]]
    return shown + ([comment(f"and {len(lines) - SHOWN} more", indent)] if len(lines) > SHOWN else [])


def to_yaml(policies: Iterable[GeneratedPolicy], head: Sequence[str]) -> str:
    """All policies as documents of one file."""
    documents = ["\n".join(comment(text, 0) for text in head)]
    for policy in policies:
        lines = [*(comment(note, 0) for note in policy.notes)]
        section, number = "", 0
        for line in yaml.safe_dump(policy.body, sort_keys=False, width=1000).splitlines():
            if line in {"  ingress:", "  egress:"}:
                section, number = line.strip(" :"), 0
            elif section and line.startswith("  - "):
                lines += evidence_lines(policy.evidence.get((section, number), []), 2)
                number += 1
            elif not line.startswith("   "):
                section = ""
            lines.append(line)
        documents.append("\n".join(lines))
    return "\n---\n".join(documents) + "\n"

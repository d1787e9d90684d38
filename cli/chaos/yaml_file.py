"""Files of experiments and tasks: YAML, or JSON, which is YAML, of bounded size."""

from pathlib import Path
from typing import Any

import click

from podsonar.errors import InputError
from podsonar.input_file import read_input
from podsonar.json_bounds import find_beyond
from podsonar.yaml_text import NotYamlError, load_yaml

MOST_BYTES = 1 << 20
FILE = click.Path(path_type=Path, dir_okay=False)


def read_yaml(path: Path, what: str, expected: str) -> Any:  # noqa: ANN401 - YAML
    """The document of a file; InputError names file and expectation."""
    content = read_input(path, what, MOST_BYTES, expected)
    try:
        found = load_yaml(content)
    except NotYamlError as error:
        raise InputError(f"{what} {str(path)!r} is not YAML: {error}; expected {expected}") from error
    if beyond := find_beyond(found):
        raise InputError(f"{what} {str(path)!r} {beyond}")
    return found

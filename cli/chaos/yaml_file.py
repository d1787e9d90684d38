"""Files of experiments and tasks: YAML, or JSON, which is YAML, of bounded size."""

from pathlib import Path
from typing import Any

import click
import yaml

from podsonar.errors import InputError
from podsonar.input_file import read_input

MOST_BYTES = 1 << 20
FILE = click.Path(path_type=Path, dir_okay=False)


def read_yaml(path: Path, what: str, expected: str) -> Any:  # noqa: ANN401 - YAML
    """The document of a file; InputError names file and expectation."""
    content = read_input(path, what, MOST_BYTES, expected)
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{what} {str(path)!r} is not YAML: {type(error).__name__}; expected {expected}") from error

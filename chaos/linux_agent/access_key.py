"""The host's access key on disk. A new one is written before it is used, so that no crash loses both."""

import re
from pathlib import Path

from podsonar import atomic_file
from podsonar.errors import SettingsError, TokenError, TokenInvalidError

SHAPE = re.compile("[a-z0-9]{32}")


class AccessKey:
    """The key in the state folder; before the first one is there, that of the settings' file."""

    def __init__(self, given: Path, state: Path) -> None:
        self.given, self.kept = given, state / "access-key"

    def __repr__(self) -> str:
        """The file's name; never the key."""
        return f"AccessKey({str(self.kept)!r})"

    def candidates(self) -> list[str]:
        """The keys that may be good, the latest first; TokenError if there is none."""
        found = []
        for path in (self.kept, self.given):
            try:
                text = path.read_text(encoding="ascii").strip()
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise TokenError(f"access key file {str(path)!r}: {type(error).__name__}") from error
            if not SHAPE.fullmatch(text):
                raise TokenInvalidError(f"access key file {str(path)!r}: expected 32 characters of a-z 0-9")
            if text not in found:
                found.append(text)
        if not found:
            raise TokenError(
                f"access key file {str(self.given)!r} is absent: expected what `podsonar linux infra add` printed"
            )
        return found

    def keep(self, key: str) -> None:
        """Write a new key; SettingsError where the manager sent something else."""
        if not SHAPE.fullmatch(key):
            raise SettingsError("the manager's new access key: expected 32 characters of a-z 0-9")
        atomic_file.write(self.kept, key.encode() + b"\n")

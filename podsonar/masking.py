"""Takes passwords out of what is shown: of URLs in settings and in errors about them."""

import re
from typing import Any

# User and password stand before the last `@` of a word: a password may hold `/` and `@`.
USERINFO = re.compile(r"(://)\S*@")
SECRET_PARAMETER = re.compile(r"([?&;][\w.-]*(?:pass|pwd|secret|token|key)[\w.-]*=)[^&;\s]*", re.IGNORECASE)


def masked_text(text: str) -> str:
    """The text without user and password of URLs in it, and without the values of parameters named after secrets."""
    return SECRET_PARAMETER.sub(r"\1[redacted:parameter]", USERINFO.sub(r"\1[redacted:userinfo]@", text))


def masked(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value with every text in it masked; keys stay."""
    if isinstance(value, dict):
        return {name: masked(below) for name, below in value.items()}
    if isinstance(value, list):
        return [masked(below) for below in value]
    return masked_text(value) if isinstance(value, str) else value

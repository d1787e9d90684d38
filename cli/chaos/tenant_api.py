"""The manager's API for one tenant, which the options of a command name."""

import functools
from collections.abc import Callable
from typing import Any

import click
import orjson

from cli.manager_api import ManagerApi, manager_options
from podsonar.errors import UsageError

# Option -> its help; that of an account has a default.
TENANT = {
    "environment": "Environment of the infrastructure.",
    "project": "Project of the infrastructure.",
    "organization": "Organization of the infrastructure.",
    "account": "Account of the infrastructure.",
}


class TenantApi:
    """The operations below one path, for one tenant."""

    def __init__(self, api: ManagerApi | None, prefix: str, tenant: dict[str, str]) -> None:
        if api is None:
            raise UsageError("expected --manager URL and --key-file FILE")
        self.api, self.prefix, self.tenant = api, prefix, tenant
        self.query = {f"{name}Identifier": value for name, value in tenant.items() if value}

    def ask(self, method: str, path: str = "", body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """The JSON object of an answer."""
        content = orjson.dumps(body) if body is not None else b""
        return self.api.json(method, self.prefix + path, params=self.query, content=content)


def tenant_options(parameter: str, prefix: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: adds the options of manager and tenant, and passes their API as a parameter of that name."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(api: ManagerApi | None, **given: Any) -> Any:  # noqa: ANN401 - click's own
            tenant = {name: given.pop(name) for name in reversed(TENANT)}
            return function(**{parameter: TenantApi(api, prefix, tenant)}, **given)

        for name, text in TENANT.items():
            default = "default" if name == "account" else ""
            option = click.option(
                f"--{name}", default=default, show_default=True, envvar=f"PODSONAR_{name.upper()}", help=text
            )
            wrapper = option(wrapper)
        return manager_options(wrapper)

    return decorate

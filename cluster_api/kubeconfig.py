"""Reads a kubeconfig: every field is honoured or refused by name, and no error shows a value of it.

The fields are those of `client.authentication.k8s.io` and `v1.Config` of client-go (tools/clientcmd/api/v1/types.go).
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cluster_api.access import Access, ExecPlugin, checked_url, header_value
from podsonar.errors import ApiServerError
from podsonar.yaml_text import NotYamlError, load_yaml

LONGEST_BYTES = 1 << 20
CLUSTER = frozenset(
    (
        *(
            "server",
            "tls-server-name",
            "insecure-skip-tls-verify",
            "certificate-authority",
            "certificate-authority-data",
        ),
        *("proxy-url", "disable-compression", "extensions"),
    )
)
USER = frozenset(
    (
        *("client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile"),
        *("username", "password", "as", "as-uid", "as-groups", "as-user-extra", "exec", "extensions"),
    )
)
CONTEXT = frozenset(("cluster", "user", "namespace", "extensions"))
TOP = frozenset(("apiVersion", "kind", "preferences", "clusters", "users", "contexts", "current-context", "extensions"))
EXEC = frozenset(("apiVersion", "command", "args", "env", "installHint", "interactiveMode", "provideClusterInfo"))
EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
TYPES: dict[str, type | tuple[type, ...]] = {
    "insecure-skip-tls-verify": bool,
    "disable-compression": bool,
    "provideClusterInfo": bool,
    **dict.fromkeys(("as-groups", "args", "env", "extensions"), list),
    **dict.fromkeys(("as-user-extra", "exec", "preferences"), dict),
    **dict.fromkeys(("clusters", "users", "contexts"), list),
}
WHY_REFUSED = {"auth-provider": "it was removed from Kubernetes 1.26; expected exec, a token or a client certificate"}


class Section:
    """One mapping of the file; errors name the place, never a value."""

    def __init__(self, place: str, content: object, known: frozenset[str]) -> None:
        if not isinstance(content, dict):
            raise ApiServerError(f"{place} is a {type(content).__name__}, expected a mapping")
        self.place = place
        # What is empty counts as absent, as in client-go.
        self.content: Mapping[str, Any] = {
            str(key): held for key, held in content.items() if held not in (None, "", [], {})
        }
        for key, held in self.content.items():
            if key not in known:
                why = WHY_REFUSED.get(key, "Podsonar does not know it, and ignores no setting of an identity")
                raise ApiServerError(f"{place}.{key} is set: {why}")
            wanted = TYPES.get(key, str)
            if not isinstance(held, wanted):
                name = wanted.__name__ if isinstance(wanted, type) else "value"
                raise ApiServerError(f"{place}.{key} is a {type(held).__name__}, expected a {name}")

    def text(self, key: str) -> str | None:
        """The text of a field; None where it is absent."""
        return self.content.get(key)

    def path(self, key: str, folder: Path) -> str | None:
        """The path in a field, seen from the kubeconfig's folder."""
        found = self.text(key)
        return None if found is None else str(folder / found)

    def data(self, key: str) -> bytes | None:
        """The bytes that a field has in base64."""
        found = self.text(key)
        if found is None:
            return None
        try:
            return base64.b64decode(found, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ApiServerError(f"{self.place}.{key} is no base64") from error


def document(path: Path) -> object:
    """The content of the file; ApiServerError where it cannot be read or is no YAML."""
    place = f"kubeconfig {str(path)!r}"
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise ApiServerError(f"{place}: {error.strerror}; expected one readable file") from error
    if len(content) > LONGEST_BYTES:
        raise ApiServerError(f"{place} has more than {LONGEST_BYTES} bytes, expected a kubeconfig")
    try:
        return load_yaml(content)
    except NotYamlError as error:
        raise ApiServerError(f"{place} is no YAML: {error}; expected a kubeconfig") from None


def named(place: str, entries: Iterable[object], name: str, inner: str, known: frozenset[str]) -> Section:
    """The section of a name in one of the file's lists; ApiServerError where it is missing."""
    for entry in entries:
        if isinstance(entry, dict) and entry.get("name") == name:
            return Section(f"{place}[{name}].{inner}", entry.get(inner) or {}, known)
    raise ApiServerError(f"{place} has no {name!r}, which is referred to")


def read_kubeconfig(path: Path) -> Access:
    """The access that the current context of a kubeconfig means."""
    source = f"kubeconfig {str(path)!r}"
    top = Section(source, document(path), TOP)
    context_name = top.text("current-context")
    if context_name is None:
        raise ApiServerError(f"{source} has no current-context; set one: kubectl config use-context NAME")
    context = named(f"{source}: contexts", top.content.get("contexts", ()), context_name, "context", CONTEXT)
    cluster_name, user_name = context.text("cluster"), context.text("user")
    if cluster_name is None:
        raise ApiServerError(f"{context.place} names no cluster")
    cluster = named(f"{source}: clusters", top.content.get("clusters", ()), cluster_name, "cluster", CLUSTER)
    users = top.content.get("users", ())
    empty = Section(f"{source}: users", {}, USER)
    user = named(f"{source}: users", users, user_name, "user", USER) if user_name else empty
    return access_of(source, cluster, user, path.absolute().parent)


def access_of(source: str, cluster: Section, user: Section, folder: Path) -> Access:
    """The access of a cluster and a user; paths are seen from `folder`."""
    server, proxy, token = cluster.text("server"), cluster.text("proxy-url"), user.text("token")
    if server is None:
        raise ApiServerError(f"{cluster.place} has no server")
    if "@" in server.partition("://")[2].partition("/")[0]:
        raise ApiServerError(f"{cluster.place}.server holds a user; expected username and password in users")
    plugin = exec_plugin(user, folder)
    # A token stands before a plugin in client-go; two of them are a mistake of which one would be ignored.
    ways = [key for key in ("token", "tokenFile", "username", "exec") if user.text(key) is not None]
    if len(ways) > 1 and ways != ["token", "tokenFile"]:
        raise ApiServerError(f"{user.place} has {' and '.join(ways)}; expected one of them")
    basic = None
    if user.text("username") is not None or user.text("password") is not None:
        basic = (user.text("username") or "", user.text("password") or "")
    return Access(
        source,
        checked_url(server, f"{cluster.place}.server", ("https", "http")),
        ca_file=cluster.path("certificate-authority", folder),
        ca_data=cluster.data("certificate-authority-data"),
        insecure=bool(cluster.content.get("insecure-skip-tls-verify", False)),
        tls_server_name=cluster.text("tls-server-name"),
        proxy_url=checked_url(proxy, f"{cluster.place}.proxy-url", ("http", "https")) if proxy else None,
        certificate_file=user.path("client-certificate", folder),
        certificate_data=user.data("client-certificate-data"),
        key_file=user.path("client-key", folder),
        key_data=user.data("client-key-data"),
        # A token's file is read again when it changes, and stands before the token, as in client-go.
        token=None if token is None or user.text("tokenFile") else header_value(token, f"{user.place}.token"),
        token_file=user.path("tokenFile", folder),
        basic=basic,
        plugin=plugin,
        impersonation=tuple(impersonation(user)),
    )


def impersonation(user: Section) -> Iterable[tuple[str, str]]:
    """The headers that make the API server act as another user; ApiServerError for a group or UID without a user."""
    name = user.text("as")
    others = [key for key in ("as-uid", "as-groups", "as-user-extra") if key in user.content]
    if name is None:
        if others:
            raise ApiServerError(f"{user.place}.{others[0]} is set without as; expected the user's name beside it")
        return
    yield "Impersonate-User", header_value(name, f"{user.place}.as")
    if (uid := user.text("as-uid")) is not None:
        yield "Impersonate-Uid", header_value(uid, f"{user.place}.as-uid")
    for group in user.content.get("as-groups", ()):
        yield "Impersonate-Group", header_value(str(group), f"{user.place}.as-groups")
    for key, values in user.content.get("as-user-extra", {}).items():
        escaped = quote(str(key), safe="")
        for value in values if isinstance(values, list) else [values]:
            yield f"Impersonate-Extra-{escaped}", header_value(str(value), f"{user.place}.as-user-extra")


def exec_plugin(user: Section, folder: Path) -> ExecPlugin | None:
    """The program that gives the user's credentials; None where there is none."""
    content = user.content.get("exec")
    if content is None:
        return None
    section = Section(f"{user.place}.exec", content, EXEC)
    version, command = section.text("apiVersion"), section.text("command")
    if version not in EXEC_VERSIONS:
        raise ApiServerError(f"{section.place}.apiVersion is not known, expected {' or '.join(EXEC_VERSIONS)}")
    if command is None:
        raise ApiServerError(f"{section.place} has no command")
    if section.text("interactiveMode") == "Always":
        raise ApiServerError(f"{section.place}.interactiveMode is Always: nobody is there to answer; expected Never")
    pairs = []
    for entry in section.content.get("env", ()):
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("name"), str)
            or not isinstance(entry.get("value"), str)
        ):
            raise ApiServerError(f"{section.place}.env has an entry without name or value")
        pairs.append((entry["name"], entry["value"]))
    return ExecPlugin(
        version,
        str(folder / command) if "/" in command else command,
        tuple(map(str, section.content.get("args", ()))),
        tuple(pairs),
        bool(section.content.get("provideClusterInfo", False)),
    )

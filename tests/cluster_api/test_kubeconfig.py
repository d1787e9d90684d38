"""Every field of a kubeconfig is honoured or refused by name, and no error shows what it holds."""

import base64
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_api.access import Access, account_access
from cluster_api.kubeconfig import CLUSTER, EXEC, USER, read_kubeconfig
from podsonar.errors import ApiServerError

CANARY = "CANARY-7f3a"
EXEC_V1 = "client.authentication.k8s.io/v1"


def kubeconfig(folder: Path, user: Any = None, cluster: Any = None, **top: Any) -> Path:
    """A kubeconfig with one context."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": "https://127.0.0.1:1", **(cluster or {})}}],
        "users": [{"name": "lab", "user": user or {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab", "namespace": "shop"}}],
        **top,
    }
    path = folder / "kubeconfig"
    path.write_bytes(orjson.dumps(document))
    return path


def access(folder: Path, user: Any = None, cluster: Any = None, **top: Any) -> Access:
    """What that kubeconfig means."""
    return read_kubeconfig(kubeconfig(folder, user, cluster, **top))


DATA = base64.b64encode(b"pem").decode()


@pytest.mark.parametrize(
    ("user", "cluster", "expected"),
    [
        ({"token": "t"}, {}, {"token": "t"}),
        ({"tokenFile": "/t"}, {}, {"token_file": "/t", "token": None}),
        ({"tokenFile": "t", "token": "old"}, {}, {"token_file": "{folder}/t", "token": None}),
        ({"username": "u", "password": "p"}, {}, {"basic": ("u", "p")}),
        ({"client-certificate": "c.pem", "client-key": "k.pem"}, {}, {"certificate_file": "{folder}/c.pem"}),
        (
            {"client-certificate-data": DATA, "client-key-data": DATA},
            {},
            {"certificate_data": b"pem", "key_data": b"pem"},
        ),
        (
            {"as": "viewer", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"example.com/x": ["1", "2"]}},
            {},
            {
                "impersonation": (
                    ("Impersonate-User", "viewer"),
                    ("Impersonate-Uid", "7"),
                    ("Impersonate-Group", "a"),
                    ("Impersonate-Group", "b"),
                    ("Impersonate-Extra-example.com%2Fx", "1"),
                    ("Impersonate-Extra-example.com%2Fx", "2"),
                )
            },
        ),
        ({}, {"server": "http://[::1]:8080/prefix/"}, {"server": "http://[::1]:8080/prefix"}),
        (
            {},
            {"insecure-skip-tls-verify": True, "tls-server-name": "api"},
            {"insecure": True, "tls_server_name": "api"},
        ),
        ({}, {"certificate-authority": "ca.pem"}, {"ca_file": "{folder}/ca.pem"}),
        ({}, {"certificate-authority-data": DATA}, {"ca_data": b"pem"}),
        ({}, {"proxy-url": "http://u:p@proxy.example:3128"}, {"proxy_url": "http://u:p@proxy.example:3128"}),
        ({}, {"disable-compression": True, "extensions": [{"name": "x"}]}, {}),
        ({"token": "", "exec": None, "as-groups": []}, {}, {"token": None, "plugin": None}),
    ],
)
def test_field_is_honoured(tmp_path: Path, user: Any, cluster: Any, expected: dict[str, Any]) -> None:
    """Each field is honoured; paths are seen from the kubeconfig's folder, what is empty is absent."""
    found = access(tmp_path, user, cluster)
    for name, value in expected.items():
        wanted = value.replace("{folder}", str(tmp_path)) if isinstance(value, str) else value
        assert getattr(found, name) == wanted, name


def test_plugin_is_read_with_all_that_it_is_started_with(tmp_path: Path) -> None:
    """Command, arguments, environment and whether it gets the cluster."""
    plugin = access(
        tmp_path,
        {
            "exec": {
                "apiVersion": EXEC_V1,
                "command": "bin/login",
                "args": ["--x", 7],
                "env": [{"name": "A", "value": "b"}],
                "provideClusterInfo": True,
                "interactiveMode": "IfAvailable",
                "installHint": "install it",
            }
        },
    ).plugin
    assert plugin is not None
    assert plugin.command == f"{tmp_path}/bin/login"
    assert (plugin.args, plugin.env, plugin.cluster_info) == (("--x", "7"), (("A", "b"),), True)


REFUSED = [
    ({"token": f"{CANARY}\n"}, {}, "users[lab].user.token"),
    ({"token": f"{CANARY}\r\nX-Evil: 1"}, {}, "users[lab].user.token"),
    ({"token": f"{CANARY}é"}, {}, "users[lab].user.token"),
    ({"token": [CANARY]}, {}, "users[lab].user.token"),
    ({"token": CANARY, "username": "u"}, {}, "token and username"),
    ({"token": CANARY, "exec": {"apiVersion": EXEC_V1, "command": "x"}}, {}, "token and exec"),
    ({"auth-provider": {"name": "gcp", "config": {"access-token": CANARY}}}, {}, "auth-provider"),
    ({"impersonate": CANARY}, {}, "users[lab].user.impersonate"),
    ({"as-groups": [CANARY]}, {}, "as-groups is set without as"),
    ({"as": f"{CANARY}\n"}, {}, "users[lab].user.as"),
    ({"as": "a", "as-groups": [f"{CANARY}\n"]}, {}, "users[lab].user.as-groups"),
    ({"client-key-data": f"{CANARY}!"}, {}, "client-key-data"),
    ({"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": CANARY}}, {}, "exec.apiVersion"),
    ({"exec": {"apiVersion": EXEC_V1}}, {}, "exec has no command"),
    ({"exec": {"apiVersion": EXEC_V1, "command": "x", "interactiveMode": "Always"}}, {}, "interactiveMode"),
    ({"exec": {"apiVersion": EXEC_V1, "command": "x", "env": [{"name": CANARY}]}}, {}, "exec.env"),
    ({"exec": {"apiVersion": EXEC_V1, "command": "x", "shell": CANARY}}, {}, "exec.shell"),
    ({}, {"server": f"https://admin:{CANARY}@127.0.0.1:1"}, "clusters[lab].cluster.server holds a user"),
    ({}, {"server": f"ftp://{CANARY.lower()}"}, "clusters[lab].cluster.server has the scheme"),
    ({}, {"server": f"https://{CANARY}:port"}, "clusters[lab].cluster.server is no URL"),
    ({}, {"proxy-url": f"socks5://u:{CANARY}@127.0.0.1:1"}, "proxy-url has the scheme 'socks5'"),
    ({}, {"proxy-url": "127.0.0.1:3128"}, "proxy-url has the scheme"),
    ({}, {"insecure-skip-tls-verify": "yes"}, "insecure-skip-tls-verify"),
    ({}, {"insecure": True}, "clusters[lab].cluster.insecure"),
]


@pytest.mark.parametrize(("user", "cluster", "place"), REFUSED)
def test_field_that_cannot_be_honoured_is_refused_by_name(tmp_path: Path, user: Any, cluster: Any, place: str) -> None:
    """No request is made under another identity than the file's; the error names the field and shows no value."""
    with pytest.raises(ApiServerError) as raised:
        access(tmp_path, user, cluster)
    assert place in str(raised.value)
    assert CANARY.lower() not in str(raised.value).lower()
    assert CANARY not in repr(raised.value.__cause__)


@pytest.mark.parametrize(
    ("top", "place"),
    [
        ({"current-context": ""}, "no current-context"),
        ({"current-context": "other"}, "contexts has no 'other'"),
        ({"contexts": [{"name": "lab", "context": {"cluster": "gone", "user": "lab"}}]}, "clusters has no 'gone'"),
        ({"contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "gone"}}]}, "users has no 'gone'"),
        ({"contexts": [{"name": "lab", "context": {"user": "lab"}}]}, "names no cluster"),
        ({"clusters": {"lab": {}}}, "clusters is a dict"),
        ({"proxies": [1]}, "proxies"),
    ],
)
def test_file_that_leads_nowhere_is_refused(tmp_path: Path, top: dict[str, Any], place: str) -> None:
    """What refers to nothing stops the program; nothing else is taken in its place."""
    with pytest.raises(ApiServerError) as raised:
        access(tmp_path, **top)
    assert place in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        f"users:\n- name: lab\n  user: {{token: '{CANARY}\n".encode(),
        f"token: {CANARY}: {CANARY}".encode(),
        b"\xff\xfe" + CANARY.encode(),
        b"[" * 100_000 + CANARY.encode(),
        CANARY.encode(),
        b"",
    ],
)
def test_file_that_is_no_kubeconfig_shows_nothing_of_itself(tmp_path: Path, content: bytes) -> None:
    """A parser's own words show the line that it cannot read; ours do not."""
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    with pytest.raises(ApiServerError) as raised:
        read_kubeconfig(path)
    assert CANARY not in str(raised.value)


def test_file_that_is_missing_or_too_large_is_named(tmp_path: Path) -> None:
    """Two files in one variable, as kubectl takes them, are none; neither is a disk image."""
    with pytest.raises(ApiServerError, match="No such file"):
        read_kubeconfig(tmp_path / "a:b")
    (tmp_path / "large").write_bytes(b"#" * (2 << 20))
    with pytest.raises(ApiServerError, match="more than"):
        read_kubeconfig(tmp_path / "large")


def test_account_of_a_pod_needs_its_variables_and_files(tmp_path: Path) -> None:
    """Outside a pod, and in one without a mounted token, the error names what is missing."""
    pod = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(ApiServerError, match="KUBERNETES_SERVICE_HOST"):
        account_access(tmp_path, {})
    with pytest.raises(ApiServerError, match="token"):
        account_access(tmp_path, pod)
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("pem")
    found = account_access(tmp_path, pod)
    assert (found.server, found.token_file) == ("https://[fd00::1]:443", str(tmp_path / "token"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8) | st.just(CANARY),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*USER, *EXEC, "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*USER, "auth-provider"]), VALUES, max_size=4),
    st.dictionaries(st.sampled_from([*CLUSTER, "y"]), VALUES, max_size=3),
)
def test_any_kubeconfig_is_an_access_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, user: dict[str, Any], cluster: dict[str, Any]
) -> None:
    """Whatever stands in a field: no traceback, and no value in the error."""
    folder = tmp_path_factory.mktemp("k")
    shown = ""
    try:
        shown = repr(access(folder, user, cluster))
    except ApiServerError as error:
        shown = str(error)
    assert CANARY not in shown

"""chaos/runner/probes/commands: which files a probe's command cannot read, and what is said where none is hidden."""

from pathlib import Path

from chaos.probes.phases import Probes
from chaos.probes.probe_rounds import ProbeEnvironment
from chaos.runner.probes.commands import SECRETS, command_environment, hidden_files, secret_mounts
from cluster_api.access import Access
from tests.chaos.runner.probes.pod_program import probe_of

MOUNTED = """\
520 500 0:42 / / rw,relatime - overlay overlay rw
521 520 0:50 / /proc rw,nosuid - proc proc rw
522 521 0:60 / /proc/acpi ro,relatime - tmpfs tmpfs ro
523 520 0:51 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k
524 520 0:61 / /sys/firmware ro,relatime - tmpfs tmpfs ro
525 520 8:1 /pods/1/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
526 520 8:1 /pods/1/volumes/config /etc/settings ro,relatime - ext4 /dev/sda1 rw
527 520 0:44 / /cache rw,relatime - tmpfs tmpfs rw
528 520 0:43 / /etc/two\\040words ro,relatime - tmpfs tmpfs rw,size=262144k
529 520 0:45 / /run/secrets/kubernetes.io/serviceaccount ro,relatime shared:9 master:2 - tmpfs tmpfs rw
530 520 0:46 / /run/credentials/a.service rw,nosuid - ramfs none ro,mode=700
"""


def test_refused_command_is_an_error_before_the_fault() -> None:
    """Of whatever mode: nothing is injected for a probe that will not run."""
    probe = probe_of("echo ok")
    assert probe.mode == "EOT"
    found = Probes([probe], ProbeEnvironment(refused="not here"))
    assert not found.before()
    assert found.error == ("a", "E2008: CMD_PROBE_ERROR", "PreChaos", "not here")
    assert found.statuses()[0]["status"]["verdict"] == "N/A"


def test_operator_may_do_without() -> None:
    """Then commands run as before, whatever the kernel has."""
    assert command_environment((SECRETS,), unconfined=True) == ProbeEnvironment()
    assert command_environment((SECRETS,), unconfined=False) == ProbeEnvironment(hidden=(SECRETS,))


def test_what_is_mounted_as_a_secret_is_hidden() -> None:
    """Memory that is read-only, other than the runtime's own; not what is written to, and no ConfigMap."""
    secrets = ["/etc/two words", "/run/secrets/kubernetes.io/serviceaccount", "/run/credentials/a.service"]
    assert list(secret_mounts(MOUNTED)) == secrets
    assert list(secret_mounts("1 0 0:1 / / ro - tmpfs tmpfs ro\n")) == []


def test_identity_from_files_is_hidden(tmp_path: Path) -> None:
    """By the files' true paths: a link may be another one for the next command."""
    (tmp_path / "true").touch()
    (tmp_path / "link").symlink_to("true")
    access = Access("file", "https://api", key_file="/keys/key", token_file="/keys/token")
    hidden = (SECRETS, str(tmp_path / "true"), "/keys/token", "/keys/key")
    assert hidden_files(access, tmp_path / "link", "") == hidden

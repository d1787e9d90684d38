"""manager/tls.py: the API over TLS by the real program, and certificates that change while it runs."""

import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from manager.tls import Certificate
from podsonar.errors import SettingsError
from tests.manager.manager_process import manager_process
from tests.manager.shop import NODE_A


def write_certificate(folder: Path, name: str) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    files = folder / f"{name}.crt", folder / f"{name}.key"
    subject = ("-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1")
    new = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    command = (*new, "-days", "2", *subject, "-out", str(files[0]), "-keyout", str(files[1]))
    subprocess.run(command, check=True, capture_output=True)
    return str(files[0]), str(files[1])


def replace(certificate: tuple[str, str], used: tuple[Path, Path]) -> None:
    """Put a certificate into place as a mounted Secret does: both files anew."""
    for source, target in zip(certificate, used, strict=True):
        fresh = target.with_suffix(".new")
        fresh.write_bytes(Path(source).read_bytes())
        fresh.rename(target)


@pytest.fixture
def used(tmp_path: Path) -> tuple[Path, Path]:
    """The files that the manager is given."""
    files = tmp_path / "tls.crt", tmp_path / "tls.key"
    replace(write_certificate(tmp_path, "first"), files)
    return files


@pytest.mark.long
def test_manager_serves_https_and_nothing_in_the_clear(tmp_path: Path, used: tuple[Path, Path]) -> None:
    """A push and a read; plain http gets no answer; a changed certificate is in use without a restart."""
    names = {"PODSONAR_TLS_CERTIFICATE_FILE": str(used[0]), "PODSONAR_TLS_KEY_FILE": str(used[1])}
    with manager_process(tmp_path, settings=names) as made:
        trust = ssl.create_default_context(cafile=str(used[0]))
        with httpx.Client(verify=trust, base_url=made.url, timeout=30, trust_env=False) as client:
            headers = {"Authorization": f"Token {made.token}", "Content-Type": "application/json"}
            answer = client.post("/api/v1/collections", json=NODE_A, headers=headers | {"Idempotency-Key": "b-1"})
            assert answer.status_code == 201
            assert client.get("/api/v1/agents", headers={"X-API-Key": made.key}).status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(made.url.replace("https:", "http:") + "/healthz", timeout=30, trust_env=False)
        replace(write_certificate(tmp_path, "second"), used)
        trust = ssl.create_default_context(cafile=str(used[0]))
        while not answers(made.url, trust):
            time.sleep(0.2)


def answers(url: str, trust: ssl.SSLContext) -> bool:
    """Whether the manager answers with a certificate that is trusted."""
    try:
        return httpx.get(f"{url}/healthz", verify=trust, timeout=30, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("damage", ["absent", "empty", "no PEM", "key of another"])
def test_certificate_that_cannot_be_used_is_refused_at_start_and_left_out_later(
    tmp_path: Path, used: tuple[Path, Path], damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """At start a SettingsError with both settings; while running the old pair stays in use, and the log reports it."""
    good = Certificate(str(used[0]), str(used[1]))
    if damage == "key of another":
        replace((str(used[0]), write_certificate(tmp_path, "other")[1]), used)
    elif damage == "absent":
        used[1].unlink()
    else:
        spoilt = tmp_path / "spoilt"
        spoilt.write_text({"empty": "", "no PEM": "nonsense"}[damage])
        replace((str(used[0]), str(spoilt)), used)
    with pytest.raises(SettingsError, match=r"tls.certificateFile and tls.keyFile"):
        Certificate(str(used[0]), str(used[1]))
    good.refresh()
    assert ("certificate_not_reloaded" in "".join(capfd.readouterr())) == (damage != "absent")
    replace(write_certificate(tmp_path, "third"), used)
    good.refresh()
    assert "certificate_reloaded" in "".join(capfd.readouterr())

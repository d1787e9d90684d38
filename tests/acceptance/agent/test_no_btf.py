"""A kernel without BTF cannot be traced, and the command reports it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel


def test_capture_without_btf_is_one_sentence_and_exit_3(tmp_path: Path) -> None:
    """With /sys/kernel/btf hidden from the command, it names the file and the requirement."""
    command = [sys.executable, "-c", "from cli.main import main; main()", "agent", "capture", str(tmp_path / "c")]
    hidden = 'mount -t tmpfs none /sys/kernel/btf && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", hidden, "sh", *command, "--seconds", "1", "--node-name", "node-a"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ,
    )
    assert done.returncode == 3
    assert "/sys/kernel/btf/vmlinux" in done.stderr
    assert "a kernel with BTF is needed" in done.stderr
    assert "Traceback" not in done.stderr

"""TLS of the manager's API port: certificate and key from files, read again when they change."""

import ssl
from pathlib import Path

import structlog

from podsonar.errors import SettingsError

log = structlog.get_logger()


class Certificate:
    """A server's TLS context that follows its files: a new certificate is for new connections."""

    def __init__(self, certificate_file: str, key_file: str) -> None:
        self.certificate_file, self.key_file = certificate_file, key_file
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.seen = self.state()
        try:
            self.load()
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"settings tls.certificateFile and tls.keyFile are {certificate_file!r} and {key_file!r}: {error}; "
                "expected readable PEM files that belong together"
            ) from error

    def state(self) -> tuple[tuple[int, int], ...]:
        """Inode and time of both files; a mounted Secret changes both."""
        try:
            stats = [Path(name).stat() for name in (self.certificate_file, self.key_file)]
        except OSError:
            return ()
        return tuple((one.st_ino, one.st_mtime_ns) for one in stats)

    def load(self) -> None:
        """Read both files."""
        self.context.load_cert_chain(self.certificate_file, self.key_file, password=self.no_password)

    def no_password(self) -> str:
        """Refuse an encrypted key instead of asking the terminal for its password."""
        raise ssl.SSLError(f"the key in {self.key_file} is encrypted")

    def refresh(self) -> None:
        """Read the files again if they have changed; the old certificate stays if the new one cannot be used."""
        state = self.state()
        if state == self.seen or not state:
            return
        self.seen = state
        try:
            # On a context of its own first: a pair that does not match must not break the one in use.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.certificate_file, self.key_file, password=self.no_password
            )
            self.load()
        except (OSError, ssl.SSLError) as error:
            log.error("certificate_not_reloaded", file=self.certificate_file, error=str(error))  # noqa: TRY400
        else:
            log.info("certificate_reloaded", file=self.certificate_file)

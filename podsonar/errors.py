"""Errors that a caller can act on, one class per decision.

PodsonarError                     exit 1: something failed while running
├── UsageError                    exit 2: the command line, a settings file or an input file is wrong
│   ├── SettingsError             a setting: key, value, what was expected
│   └── InputError                a capture, log or inventory file: path, place, what was expected
├── PreflightError                exit 3: the machine lacks what tracing needs
│   └── TracerError               the eBPF program could not be compiled, loaded or attached
├── TokenError                    a token file is absent or cannot be read
│   └── TokenInvalidError         it is there, and empty or not a token
├── SpoolError                    the spool folder cannot be used
├── ApiServerError                the Kubernetes API server cannot be reached or refuses
│   ├── WatchRefusedError         … a watch, with a status: list again, authenticate again, or wait
│   └── ObjectRefusedError        … a read or change of one object, with a status
├── ManagerUnavailableError       the manager cannot be asked now, or gives an answer of another program
├── DirectoryUnavailableError     the directory cannot be asked now; the window waits in the spool
│   └── NotFinalYetError           … as planned: its answers on that window are not final before a time
└── StoreError                    the manager's database cannot be used
    ├── StoreConflictError        … by this transaction at this moment: try it again
    └── HistoryFileError          a file of history is not there, though the database names it

Every text says what, which value, and what was expected; none holds a token, a header or a body.
"""


class PodsonarError(Exception):
    """A failure that is reported to the user in one sentence."""

    exit_code = 1


class UsageError(PodsonarError):
    """The command line, the settings or an input file is wrong."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown or has a bad value."""


class InputError(UsageError):
    """An input file is not what it should be."""


class PreflightError(PodsonarError):
    """The machine lacks something that tracing needs."""

    exit_code = 3


class TracerError(PreflightError):
    """The eBPF program could not be compiled, loaded or attached; `reason` is a metric label."""

    def __init__(self, text: str, reason: str = "load_failed") -> None:
        super().__init__(text)
        self.reason = reason


class TokenError(PodsonarError):
    """A token file is absent or cannot be read."""


class TokenInvalidError(TokenError):
    """A token file is empty or holds something else than a token."""


class SpoolError(PodsonarError):
    """The spool folder cannot be used."""


class ApiServerError(PodsonarError):
    """The Kubernetes API server cannot be reached or refuses."""


class WatchRefusedError(ApiServerError):
    """The API server answers a watch with a status other than 200, at its start or in an ERROR event."""

    def __init__(self, text: str, status: int, retry_after: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


class ObjectRefusedError(ApiServerError):
    """The API server refuses to read, apply or delete an object; the text names verb, object and its answer."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class ManagerUnavailableError(PodsonarError):
    """The manager cannot be asked now."""


class DirectoryUnavailableError(PodsonarError):
    """The directory cannot be asked now; what waits for it stays in the spool."""


class NotFinalYetError(DirectoryUnavailableError):
    """The answers on a window are not final before `due_ns`, or it is not this agent's turn."""

    def __init__(self, text: str, due_ns: int) -> None:
        super().__init__(text)
        self.due_ns = due_ns


class StoreError(PodsonarError):
    """The manager's database cannot be used."""


class StoreConflictError(StoreError):
    """Another transaction was in the way; the same one may well succeed now."""


class HistoryFileError(StoreError):
    """A file of history that the database names is not there."""


def words_of(error: Exception) -> str:
    """What an error says, or its class where it says nothing, as an httpx timeout may."""
    return str(error) or type(error).__name__

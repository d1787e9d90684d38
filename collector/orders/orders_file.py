"""The orders' file: an ordered window outlives a restart of the collector, as the directory's intervals do."""

from pathlib import Path

import orjson
import structlog

from podsonar import atomic_file
from podsonar.errors import InputError
from podsonar.model import Window
from podsonar.window_orders import Orders, read_orders

MAX_BYTES = 1 << 20

log = structlog.get_logger()


def write(path: Path, orders: Orders) -> None:
    """Replace the file. On a disk that cannot be written orders are in memory alone, and that is logged."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        atomic_file.write(path, orjson.dumps(orders.wire()))
    except OSError as error:
        log.warning("orders_not_saved", reason=error.strerror, file=str(path))


def read(path: Path) -> tuple[Window, ...]:
    """Return the windows in the file; none if it is absent, or is not what `write` writes."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
        return read_orders(content).windows
    except FileNotFoundError:
        return ()
    except (OSError, InputError) as error:
        log.warning("orders_file_ignored", file=str(path), reason=str(error)[:200])
        return ()

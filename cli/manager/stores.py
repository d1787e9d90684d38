"""The manager's database as the settings name it."""

from pathlib import Path

from manager.store.database import Store
from podsonar.errors import SettingsError
from podsonar.settings import ManagerSettings


def database_url(settings: ManagerSettings) -> str:
    """The database's URL, from its file where one is set."""
    if not settings.database_file:
        return settings.database
    try:
        url = Path(settings.database_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"setting databaseFile is {settings.database_file!r}: {error}; expected a readable file with a URL"
        ) from error
    if "://" not in url:
        raise SettingsError(f"setting databaseFile is {settings.database_file!r}: it holds no URL, expected one")
    return url


def open_store(settings: ManagerSettings) -> Store:
    """The migrated store."""
    store = Store(database_url(settings))
    store.migrate()
    return store

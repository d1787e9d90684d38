"""Tokens that an installation brings along, as hashes in a file."""

import hashlib
import secrets
from pathlib import Path

import orjson
import pytest

from manager.store.database import Store
from manager.store.tokens.import_file import HashedToken, import_tokens, read_tokens
from manager.store.tokens.issued import authenticate, revoke_token
from podsonar.errors import SettingsError

AGENT, READER = "a" * 43, "b" * 43


def row(token_id: str, scope: str, name: str, secret: str) -> dict[str, str]:
    """One token as it stands in the file."""
    return {"id": token_id, "scope": scope, "name": name, "secretSha256": hashlib.sha256(secret.encode()).hexdigest()}


ROWS = [row("0123456789ab", "ingest", "shop", AGENT), row("ba9876543210", "read", "helm", READER)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty, migrated store."""
    made = Store(f"sqlite:///{tmp_path}/manager.db")
    made.migrate()
    return made


@pytest.fixture
def found(tmp_path: Path) -> list[HashedToken]:
    """The tokens of a file as the chart renders it."""
    path = tmp_path / "tokens.json"
    path.write_bytes(orjson.dumps({"tokens": ROWS}))
    return read_tokens(path)


def test_imported_tokens_open_their_scope_and_nothing_else(store: Store, found: list[HashedToken]) -> None:
    """The agent's token pushes, the key reads; neither does the other's work."""
    import_tokens(store, found, 1, secrets.token_bytes)
    agent, reader = f"podsonar_0123456789ab_{AGENT}", f"podsonar_ba9876543210_{READER}"
    pushing = authenticate(store, agent, "ingest", 9)
    assert pushing is not None
    assert pushing.agent_id is not None
    assert authenticate(store, reader, "read", 9) is not None
    assert authenticate(store, agent, "read", 9) is None
    assert authenticate(store, reader, "ingest", 9) is None
    assert authenticate(store, f"podsonar_0123456789ab_{READER}", "ingest", 9) is None


def test_second_import_adds_nothing_and_a_revoked_token_stays_revoked(store: Store, found: list[HashedToken]) -> None:
    """A restart with the same file changes nothing, also where a token was revoked meanwhile."""
    assert len(import_tokens(store, found, 1, secrets.token_bytes)) == 2
    revoke_token(store, "0123456789ab", 2)
    assert import_tokens(store, found, 3, secrets.token_bytes) == []
    assert authenticate(store, f"podsonar_0123456789ab_{AGENT}", "ingest", 9) is None


def test_second_token_for_an_agent_belongs_to_the_same_agent(store: Store, found: list[HashedToken]) -> None:
    """Rotation: old and new token of one agent both push for it."""
    new = HashedToken("111111111111", "ingest", "shop", hashlib.sha256(READER.encode()).hexdigest())
    import_tokens(store, [*found, new], 1, secrets.token_bytes)
    old = authenticate(store, f"podsonar_0123456789ab_{AGENT}", "ingest", 9)
    added = authenticate(store, f"podsonar_111111111111_{READER}", "ingest", 9)
    assert old is not None
    assert added is not None
    assert old.agent_id == added.agent_id


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff\xfe", b'{"tokens": [{"id": "x"}]}', orjson.dumps({"tokens": [{**ROWS[0], "scope": "root"}]})],
)
def test_file_that_is_not_token_hashes_is_refused_without_telling_a_hash(tmp_path: Path, content: bytes) -> None:
    """The sentence names the file and the expected fields, and holds no hash."""
    path = tmp_path / "tokens.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="tokensFile") as refused:
        read_tokens(path)
    assert ROWS[0]["secretSha256"] not in str(refused.value)


def test_absent_file_is_refused_with_its_name(tmp_path: Path) -> None:
    """The sentence names the file."""
    with pytest.raises(SettingsError, match="absent"):
        read_tokens(tmp_path / "absent")

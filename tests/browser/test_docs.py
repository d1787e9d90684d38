"""The API's document as a page, and the map of a tenant that the page's address names."""

import secrets
from contextlib import closing
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from manager.store.database import Store
from manager.store.tokens.issued import create_token
from tests.manager.api.operations import TENANT, identifiers, push_shop
from tests.manager.conftest import Running

pytestmark = pytest.mark.browser


def test_documents_page_shows_every_operation_from_this_manager_alone(manager: Running, page: Page) -> None:
    """All 53, found by a word, with the members of a body; nothing is asked of any other host."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{manager.url}/docs")
    expect(page.locator("#count")).to_have_text("53 operations")
    page.locator("#filter").fill("createagent")
    expect(page.locator("#count")).to_have_text("1 operations")
    page.locator("main section > details:not([hidden]) > summary").click()
    page.get_by_text("Body: api.CreateAgentRequest").click()
    expect(page.get_by_text("infraIdentifier (required): string")).to_be_visible()
    assert asked
    assert all(url.startswith(f"{manager.url}/") for url in asked)


def test_address_names_the_tenant_whose_map_is_shown(manager: Running, page: Page) -> None:
    """A key of a tenant opens the page whose address names it; its agent has the name of another tenant's."""
    with closing(Store(manager.database)) as store:
        token = create_token(store, "ingest", "lab", 1, secrets.token_bytes, tenant=TENANT).text()
        key = create_token(store, "read", "someone", 1, secrets.token_bytes, tenant=TENANT).text()
    push_shop(manager, token)
    page.goto(f"{manager.url}/?{urlencode(identifiers(TENANT))}#key={key}")
    expect(page.get_by_text("frontend").first).to_be_visible()

"""Temporal's Web UI as the page on which a recharge is traced: found by a query, opened, and read, in a real browser.

Its pictures are those of README.md and docs/: PICTURES=FOLDER keeps them there (`make pictures`).
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from temporalio.client import Client

from devstack.browser import chromium_program
from devstack.simulator.client import Rule
from devstack.stack import Devstack
from operations.web_ui import WebUi
from recharge.outcome import State
from tests.conftest import SiteMaker
from tests.support.records import value
from tests.support.service import Service

TIMEOUT_MS = 30_000
PICTURED = frozenset({"list-in_doubt", "timeline-sending", "timeline-retrying", "story-in_doubt", "story-succeeded"})
SUCCEEDED, RETRYING, IN_DOUBT, SENDING = range(4)
NUMBERS = [(f"346{number}2223334", f"346{number}2224445") for number in range(4)]
ANSWER_S = 25.0
"""How long the provider takes for the record that is looked at first: longer than that look."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(
            executable_path=chromium_program(), args=["--no-sandbox"], timeout=TIMEOUT_MS
        )
        yield running
        await running.close()


@pytest.fixture
async def page(browser: Browser) -> Page:
    """An empty page, as wide as a laptop's."""
    page = await browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    return page


@pytest.fixture
async def service(stack: Devstack, client: Client, make_site: SiteMaker) -> Service:
    """Four customers' records: one was charged, one is refused at the door again and again, one is in doubt, one is not answered yet."""
    profile = {"RECHARGE_INGEST__ORDERING": "account", "RECHARGE_PROVIDER__TIMEOUT_S": f"{2 * ANSWER_S:g}"}
    site = await make_site("seen", profile=profile)
    service = Service.of(stack, site, client)
    await stack.simulator.client.set_rules(
        Rule("status:429", reference=service.workflow_id(0, RETRYING)),
        Rule("charge+status:500", reference=service.workflow_id(0, IN_DOUBT)),
        Rule(f"delay:{ANSWER_S}+charge+ok", reference=service.workflow_id(0, SENDING)),
    )
    records = [
        value(phoneNumberDonor=donor, phoneNumberReceiver=receiver, requestId=f"seen-{number}")
        for number, (donor, receiver) in enumerate(NUMBERS)
    ]
    await service.send(0, *records)
    site.spawn("run")
    states = {SUCCEEDED: "succeeded", RETRYING: "retrying", IN_DOUBT: "in_doubt", SENDING: "sending"}
    await service.until_states({(0, offset): state for offset, state in states.items()})
    return service


async def test_a_recharge_is_found_by_its_state_and_its_page_tells_the_story(service: Service, page: Page) -> None:
    stories = {
        SENDING: (State.SENDING, ["Its answer is awaited below"]),
        SUCCEEDED: (State.SUCCEEDED, ["Attempts: 1", "reference: P-"]),
        RETRYING: (State.RETRYING, ["429", "Temporal retries it below"]),
        IN_DOUBT: (State.IN_DOUBT, ["500", f"recharge resolve {service.workflow_id(0, IN_DOUBT)} --charged"]),
    }
    for offset, (state, words) in stories.items():
        workflow_id = service.workflow_id(0, offset)
        await look_up(service, page, f'RechargeTopic="{service.site.topic}" AND RechargeStatus="{state}"', offset)
        await expect(page.get_by_text("RechargeWorkflow").first).to_be_visible()
        await picture(page, f"list-{state}")
        await page.get_by_role("link", name=workflow_id).first.click()
        metadata = page.get_by_text("User Metadata")
        await expect(metadata).to_be_visible()
        await picture(page, f"timeline-{state}")
        await metadata.click()
        # Markdown stands in frames of its own: the summary's, then that of the current details.
        story = page.frame_locator("iframe").last
        for word in [state.value, *words]:
            await expect(story.get_by_text(word).first).to_be_visible()
        await picture(page, f"story-{state}")
        await assert_no_number_is_seen(page)


async def look_up(service: Service, page: Page, query: str, offset: int) -> None:
    """Open the list that a query finds, as `recharge find` links to it, and see the record there and no other."""
    ui = WebUi(service.stack.temporal.ui_url, service.client.namespace)
    await page.goto(ui.search(query))
    await expect(page.get_by_role("link", name=service.workflow_id(0, offset)).first).to_be_visible()
    for other in {SUCCEEDED, RETRYING, IN_DOUBT, SENDING} - {offset}:
        await expect(page.get_by_text(service.workflow_id(0, other))).to_have_count(0)


async def assert_no_number_is_seen(page: Page) -> None:
    """No customer's number stands in clear on a page that anyone who may trace recharges can open."""
    text = "".join([await frame.locator("body").inner_text() for frame in page.frames])
    assert "OneShotTransfer" in text
    assert not [number for pair in NUMBERS for number in pair if number in text]


async def picture(page: Page, name: str) -> None:
    """Keep what a person sees, where pictures are wanted and this one is."""
    if (folder := os.environ.get("PICTURES")) and name in PICTURED:
        await page.screenshot(path=Path(folder) / f"{name}.png")

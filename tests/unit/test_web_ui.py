"""A link into Temporal's Web UI leads to the record's own workflow, whatever its names are made of."""

import pytest

from operations.web_ui import WebUi

ID = "topups-2026:credit-transfers:0:7"
PAGE = "/namespaces/default/workflows/topups-2026%3Acredit-transfers%3A0%3A7"


@pytest.mark.parametrize("url", ["https://temporal.example.net", "https://temporal.example.net/"])
def test_a_run_has_a_page_of_its_own_and_a_workflow_one_that_leads_to_its_newest_run(url: str) -> None:
    web_ui = WebUi(url, "default")
    assert web_ui.link(ID) == f"https://temporal.example.net{PAGE}"
    assert web_ui.link(ID, "01a-2b") == f"https://temporal.example.net{PAGE}/01a-2b"


def test_the_path_under_which_the_web_ui_is_served_is_kept() -> None:
    assert WebUi("http://host:8233/temporal/", "default").link(ID) == f"http://host:8233/temporal{PAGE}"


def test_no_name_can_lead_out_of_its_part_of_the_address() -> None:
    link = WebUi("http://host", "a/b?c").link("x/../y#z", "r/s")
    assert link == "http://host/namespaces/a%2Fb%3Fc/workflows/x%2F..%2Fy%23z/r%2Fs"

"""The page in a real browser: what it shows is what the books say, for eyes, keyboards and screen readers alike."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

HOSTILE_SHOWN = '<img src=x onerror="document.title=\'owned\'"> "quoted"'


def cells(page, body):
    """The texts of a table's rows."""
    return page.evaluate(
        "id => [...document.getElementById(id).rows].map(r => [...r.cells].map(c => c.innerText.trim()))", body
    )


def test_the_budgets_stand_as_in_the_books(page):
    """The tightest first, each with its stage, its use, and what is left of the window."""
    rows = cells(page, "budget-rows")
    assert [(r[0], r[1], r[2], r[3], r[4], r[5]) for r in rows] == [
        ("default/digest", "Day", "Exhausted", "100 %", "$5.00", "$5.00"),
        ("default/triage", "Day", "Slow", "91 %", "$10.92", "$12.00"),
        ("default/research", "Day", "Warn", "72 %", "$29.00", "$40.00"),
        ("default/quiet", "Day", "Open", "10 %", "$0.50", "$5.00"),
    ]
    assert all(r[7] == "in 16 h" for r in rows)
    assert page.locator("#budget-rows tr").nth(1).locator(".rung").count() == 2


def test_spend_is_told_by_any_dimension(page):
    """The table follows the choice, the dearest first; the chart's legend agrees with it."""
    assert [r[0] for r in cells(page, "usage-rows")][:2] == ["research", "triage"]
    page.get_by_role("combobox", name="Spend by").select_option("team")
    expect(page.locator("#dimension-name")).to_have_text("Team")
    rows = {r[0]: r for r in cells(page, "usage-rows")}
    assert rows["press"][2] == "$5.50"
    assert rows["lab"][7] == "3"
    assert "lab $29.00" in page.locator("#chart-title").inner_text()
    assert page.locator("#chart rect").count() > 20


def test_decisions_and_ladder_are_told(page):
    """A refusal can be found by its id, and each step that a window took."""
    assert any("d-digest" in r[1] and "BudgetExhausted" in r[2] for r in cells(page, "decision-rows"))
    steps = {(r[1], r[3]) for r in cells(page, "stage-rows")}
    assert {("default/digest", "Exhausted"), ("default/triage", "Slow"), ("default/research", "Warn")} <= steps


def test_what_is_unusual_and_what_goes_round(page):
    """A workflow that spikes is there with its usual and the cause, and a run that was refused as a loop with its figures."""
    ((_, workflow, ratio, said),) = cells(page, "anomaly-rows")
    assert workflow == "steady"
    assert said.startswith(f"{ratio} times the usual spend: $1.0")
    assert "failed or were refused" in said
    ((_, run, of, done, why),) = cells(page, "loop-rows")
    assert (run, of, done) == ("run-1", "research", "refused")
    assert "12.3 x the median" in why


@pytest.mark.parametrize("status", [403, 404])
def test_books_without_loops_and_anomalies_show_the_rest(page, served, status):
    """An older ledger, or a right that leaves them out, empties their tables alone; what they cannot tell is said."""
    served.lacking = {"anomalies": status, "loops": status}
    try:
        expect(page.locator("#loop-rows")).to_have_text("These books do not tell of loops.")
        expect(page.locator("#anomaly-rows")).to_have_text("These books do not tell what is usual.")
        assert page.locator("#problem").is_hidden()
        assert len(cells(page, "budget-rows")) == 4
    finally:
        served.lacking = {}
    expect(page.locator("#loop-rows")).to_contain_text("12.3 x the median")


def test_text_from_outside_stays_text(page):
    """A label that is markup, quotes, lines and direction marks is shown as what it is, and runs nothing."""
    page.get_by_role("combobox", name="Spend by").select_option("team")
    expect(page.locator("#dimension-name")).to_have_text("Team")
    names = [r[0] for r in cells(page, "usage-rows")]
    assert f"{HOSTILE_SHOWN}\\u000a\\u202eright-to-left" in names
    assert page.title() == "Workflow budgets"
    assert page.locator("main img").count() == 0


def test_nothing_comes_from_elsewhere(page, served):
    """Every request goes to the page's own server, and the policy forbids anything else."""
    own = served.url.partition("/?")[0]
    asked = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert all(url.startswith(own) for url in asked)
    answer = page.request.get(own + "/index.html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert page.said == []


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_a_screen_reader_and_weak_eyes_can_use_it(page):
    """No finding of axe's rules (WCAG 2 A and AA): names, roles, contrast in both colour schemes."""
    found = Axe().run(
        page, options={"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
    )
    assert [v["id"] + ": " + v["nodes"][0]["html"] for v in found.response["violations"]] == []


def test_a_keyboard_reaches_everything(page):
    """Tab goes through the skip link, the pause, every choice and every table that scrolls."""
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached[0] == "skip"
    for wanted in ("pause", "dimension", "hours", "kind"):
        assert wanted in reached
    assert reached.count("wide") == 7


def test_pause_and_go_on(page):
    """A paused page says so, to eyes and to readers, and reads nothing."""
    page.get_by_role("button", name="Pause").click()
    assert page.locator("#pause").get_attribute("aria-pressed") == "true"
    assert page.locator("#fresh").inner_text().startswith("Paused.")
    page.get_by_role("button", name="Go on").click()
    assert page.locator("#pause").get_attribute("aria-pressed") == "false"


def test_books_that_cannot_be_read_are_said(page, served):
    """The last figures stay, with one sentence above them; it goes when the books answer again."""
    served.problem = (503, {"message": "what the store holds is not known at the moment"})
    try:
        page.wait_for_selector("#problem:not([hidden])")
        assert "not known at the moment" in page.locator("#problem").inner_text()
        assert len(cells(page, "budget-rows")) == 4
    finally:
        served.problem = None
    page.wait_for_selector("#problem", state="hidden")


@pytest.mark.parametrize("width", [360, 768])
def test_a_small_screen_scrolls_in_its_tables_only(browser, served, width):
    """The page itself is never wider than the screen."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    opened = context.new_page()
    opened.goto(served.url)
    opened.wait_for_selector("#budget-rows tr th")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    context.close()

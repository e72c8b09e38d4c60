"""The page in a real browser: nothing is fetched, sorting, episodes, hostile names, a phone, dark, print."""

from itertools import pairwise

import numpy as np
import pytest
from playwright.sync_api import sync_playwright
from records import record

from fewshot.report.build import Beside, build_page
from fewshot.report.contents import Contents
from fewshot.report.episodes import Drawn, Episode, Viewer, class_rows
from fewshot.report.hardest import hardest_classes
from fewshot.report.page import render
from fewshot.report.results import name_results

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>')


def hostile_page():
    """Three methods, one with a hostile name, and an episode whose classes are hostile, too."""
    rng = np.random.default_rng(0)
    named = {
        "good": record((5, 6, 5, 6)),
        HOSTILE[0]: record((3, 4, 4, 3), learner=HOSTILE[0]),
        "$x^2$": record((1, 2, 2, 3), learner="m", notes=[HOSTILE[1]]),
    }
    results = name_results(named)
    pixels = rng.integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    predicted = np.array([0, 1, 1])
    drawn = Drawn(2, [*HOSTILE, "plain"], [*pixels[:3]], np.arange(3), [*pixels[3:]], np.arange(3), predicted)
    rows, _ = class_rows(drawn)
    viewer = Viewer("title " + HOSTILE[1], "good", (Episode(2, "hardest", 2, 3, rows, 0, ((HOSTILE[0], 1),)),))
    hard = hardest_classes("t", HOSTILE[1], np.array([0, 0, 1]), np.array([0, 1, 1]), HOSTILE)
    return build_page(Contents(results), Beside({}, (), (viewer,), (hard,)), "good")


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(hostile_page()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield one
        one.close()


@pytest.fixture
def open_page(browser, html):
    """Opens the page; at the end nothing was complained of, asked for, or fetched."""
    contexts, seen = [], []

    def open_one(path=html, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: seen.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("dialog", lambda dialog: (seen.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request", lambda r: None if r.url == path.as_uri() or r.url.startswith("data:") else seen.append(r.url)
        )
        page.goto(path.as_uri())
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not seen


def column(page, name):
    """Texts of a column of the table of results."""
    heads = page.locator("#results .sortable thead th").all_inner_texts()
    place = next(k for k, head in enumerate(heads) if head.strip().startswith(name))
    return [row.locator("th, td").nth(place).inner_text() for row in page.locator("#results .sortable tbody tr").all()]


def heading(page, name):
    return page.locator("#results .sortable thead th", has_text=name).first


def test_a_click_and_a_key_sort_by_a_heading(open_page):
    page = open_page()
    given = column(page, "accuracy")
    numbers = [float(text.split()[0]) for text in given]
    accuracy = heading(page, "accuracy")
    assert accuracy.get_attribute("aria-sort") == "none"
    accuracy.locator("button").click()
    assert accuracy.get_attribute("aria-sort") == "descending"
    assert [float(t.split()[0]) for t in column(page, "accuracy")] == sorted(numbers, reverse=True)
    accuracy.locator("button").focus()
    page.keyboard.press("Enter")
    assert accuracy.get_attribute("aria-sort") == "ascending"
    assert [float(t.split()[0]) for t in column(page, "accuracy")] == sorted(numbers)
    heading(page, "method").locator("button").focus()
    page.keyboard.press("Space")
    assert (accuracy.get_attribute("aria-sort"), column(page, "method")) == ("none", sorted(column(page, "method")))


def test_numbers_are_sorted_as_numbers(browser, html):
    page = browser.new_page()
    page.goto(html.as_uri())
    keys = ["9.5", "10", "-1", "100", "2e-3"]
    order = "keys => keys.sort(compare)"
    assert page.evaluate(order, keys) == ["-1", "2e-3", "9.5", "10", "100"]
    assert page.evaluate(order, ["b10", "b9", "a"]) == ["a", "b9", "b10"]
    page.close()


def test_hostile_names_are_text(open_page):
    page = open_page()
    page.locator(".one-episode summary").click()
    for name in HOSTILE:
        shown = page.locator(".episode th[scope=row]", has_text=name)
        assert shown.count() == 1 and shown.is_visible()
    assert HOSTILE[0] in column(page, "method")
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("document.scripts.length") == 1


def test_an_episode_opens_and_tells_right_from_wrong_in_words_and_shape(open_page):
    page = open_page()
    wrong = page.locator(".item.wrong").first
    assert not wrong.is_visible()
    page.locator(".one-episode summary").focus()
    page.keyboard.press("Enter")
    assert wrong.is_visible() and "✗" in wrong.inner_text() and HOSTILE[1] in wrong.inner_text()
    right = page.locator(".item.right").first
    assert "✓" in right.inner_text() and "right" in right.inner_text()
    assert (
        wrong.locator("img").evaluate("async i => { await i.decode(); return i.naturalWidth; }") == 8
    )  # the policy lets data: pictures through
    widths = [one.locator("img").evaluate("i => getComputedStyle(i).borderTopWidth") for one in (wrong, right)]
    assert widths == ["3px", "1px"]


@pytest.mark.parametrize("opened", [False, True])
def test_a_phone_does_not_scroll_sideways(open_page, opened):
    page = open_page(viewport={"width": 360, "height": 740})
    if opened:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator("#results .scroll")
    assert box.evaluate("b => b.scrollWidth > b.clientWidth")  # the table scrolls in its own box


def test_dark_changes_paper_and_ink_also_within_figures(open_page):
    found = {}
    for scheme in ("light", "dark"):
        page = open_page(color_scheme=scheme)
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = page.locator("figure svg text").first.evaluate("t => getComputedStyle(t).fill")
        found[scheme] = (paper, ink)
    assert found["light"][0] == "rgb(255, 255, 255)"
    assert sum(map(int, found["dark"][0][4:-1].split(","))) < 120
    assert found["light"][1] != found["dark"][1]


def test_print_hides_controls_and_opens_episodes(open_page):
    page = open_page()
    assert page.locator("nav").is_visible() and page.locator(".controls").first.is_visible()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator("nav").is_visible() and not page.locator(".controls").first.is_visible()
    assert page.locator(".episode").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not page.locator(".episode").first.is_visible()


def test_the_keyboard_skips_to_the_results(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    link = page.locator(".skip")
    assert link.evaluate("l => l === document.activeElement && l.getBoundingClientRect().left >= 0")
    page.keyboard.press("Enter")
    assert page.url.endswith("#results")


def test_headings_are_in_order_and_figures_have_words(open_page):
    page = open_page()
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.evaluate("[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label').length > 20)")
    assert page.evaluate("[...document.querySelectorAll('img')].every(i => i.alt)")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_the_policy_stops_script_and_network_that_would_get_through(browser, html, tmp_path):
    """A planted slip: a name put in unescaped, and a picture from elsewhere, are both stopped by the policy."""
    bad = tmp_path / "bad.html"
    planted = "<script>document.title = 'taken'</script><img src='https://example.invalid/x.png'>"
    bad.write_text(html.read_text("utf-8").replace("<main>", "<main>" + planted), encoding="utf-8")
    told, page = [], browser.new_page()
    page.on("console", lambda message: told.append(message.text))
    page.goto(bad.as_uri())
    assert page.title() != "taken"
    assert any("script" in t for t in told) and any("img-src" in t for t in told)
    page.close()


def test_a_learner_of_any_name_is_in_the_figures_as_text(open_page):
    page = open_page()
    labels = page.evaluate("[...document.querySelectorAll('#intervals svg text')].map(t => t.textContent)")
    assert HOSTILE[0] in labels and "$x^2$" not in page.locator("#intervals svg").first.inner_html()

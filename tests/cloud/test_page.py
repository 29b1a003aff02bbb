"""The page in a real browser (headless Chromium): logging in, watching, comparing, cancelling; by mouse and keyboard.

With ANALOGJAX_SCREENSHOTS=FOLDER it also writes the pictures of the documentation.
"""

import os
import shutil
from pathlib import Path

import pytest

from analogjax.cloud.executors.local import LocalExecutor
from analogjax.physics import SoftBounds
from analogjax.tile import TileConfig
from tests.cloud.experiments import submission
from tests.cloud.running_service import end_all, service_in_thread
from tests.cloud.test_remote_runs import LONG, environment

pytestmark = pytest.mark.slow
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1280,1500",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever the page asks elsewhere fails
)  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("page")
    executor = LocalExecutor(home / "jobs", workers=2)
    with service_in_thread(home, executor, worker_environment=environment()) as running:
        soft = TileConfig(device=SoftBounds(dw_min=0.005))
        for id, name, given in (
            ("a" * 8, "Digits, constant step", {"hidden": 32}),
            ("b" * 8, "Digits, soft bounds", {"hidden": 32, "config": soft}),
        ):
            body = submission(epochs=12, name=name, batch_size=8, **given)
            assert running.put(f"/api/v1/experiments/{id}", json=body).status_code == 201
        for id in ("a" * 8, "b" * 8):
            running.until(id, "completed", seconds=180)
        body = {"name": "Digits, after a year", "device": "cpu", "description": reading("b" * 8, body["description"])}
        assert running.put(f"/api/v1/experiments/{'d' * 8}", json=body).status_code == 201
        running.until("d" * 8, "completed", seconds=180)
        body = submission(epochs=LONG, name="<b>A long one</b>")
        assert running.put(f"/api/v1/experiments/{'c' * 8}", json=body).status_code == 201
        yield running
        running.post(f"/api/v1/experiments/{'c' * 8}/cancel")
    end_all(executor)


def reading(trained, description):
    """An inference that reads the chips of that training for a year."""
    kept = {name: description[name] for name in ("format", "dataset", "layers", "channels_first")}
    more = {"inference_repeats": 6, "inference_time": 3.15e7, "drift_compensation": False}
    return kept | more | {"kind": "inference", "trained": trained, "noise_model": {"class": "PCMLike"}}


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium is not installed (Debian: chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield made
    made.quit()


def waited(browser, condition, seconds=30):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds, 0.1).until(condition)


def text(browser):
    from selenium.common.exceptions import StaleElementReferenceException

    try:
        return browser.find_element("tag name", "body").text
    except StaleElementReferenceException:
        return ""


def shows(browser, *words, seconds=30):
    from selenium.common.exceptions import TimeoutException

    try:
        waited(browser, lambda b: all(word in text(b) for word in words), seconds)
    except TimeoutException:
        raise AssertionError(
            f"the page does not show {[w for w in words if w not in text(browser)]}: {text(browser)}"
        ) from None


def picture(browser, name):
    folder = os.environ.get("ANALOGJAX_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.fixture
def page(service, browser):
    """The list of experiments, logged in."""
    browser.get(service.url)
    waited(browser, lambda b: "Log in" in text(b) or "Compare" in text(b))
    if "Log out" not in text(browser):
        browser.find_element("id", "token").send_keys(service.token + "\n")
    shows(browser, "Log out", "Digits, constant step", "Search")
    return browser


def test_a_wrong_token_is_told_and_the_page_stays(service, browser):
    browser.get(service.url)
    shows(browser, "Log in", "analogjax cloud token create")
    picture(browser, "login")
    browser.find_element("id", "token").send_keys("wrong\n")
    shows(browser, "This token is not valid")


def test_the_list(page):
    shows(page, "completed", "running", "12 of 12", "ada")
    assert "<b>A long one</b>" in text(page)  # a name is text, never markup
    picture(page, "experiments")


def test_an_experiment_with_its_curves_tiles_and_files(page):
    page.find_element("link text", "Digits, constant step").click()
    shows(page, "Loss", "Accuracy", "Layer 1: AnalogLinear", "Device ConstantStep", "weights.npz", "learning_rate")
    charts = page.find_elements("css selector", ".chart[role=img]")
    labels = [one.get_attribute("aria-label") for one in charts]
    assert (
        labels[0].startswith("Loss. train loss: from") and len(page.find_elements("css selector", ".chart canvas")) >= 5
    )
    assert any(label.startswith("Device ConstantStep. specimen 1: from") for label in labels)
    picture(page, "experiment")
    log = page.find_element("xpath", "//summary[.='Log of the worker']")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", log)
    log.click()
    shows(page, "worker: attempt 1, on cpu")


def test_an_inference_with_its_decay(page):
    page.find_element("link text", "Digits, after a year").click()
    shows(page, "6 of 6", "chips", "+ one standard deviation", "Noise model: PCMLike", "results.csv", "31500000")
    assert "Tiles and devices" not in text(page) and "undefined" not in text(page) and "NaN" not in text(page)
    labels = [one.get_attribute("aria-label") for one in page.find_elements("css selector", ".chart")]
    assert [label.partition(".")[0] for label in labels] == ["Accuracy", "Loss"]
    picture(page, "inference")


def test_a_chart_is_read_and_zoomed_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    page.find_element("link text", "Digits, constant step").click()
    shows(page, "Loss", "weights.npz")
    waited(page, lambda b: b.find_elements("css selector", ".chart canvas"))
    page.execute_script("document.querySelector('.chart').focus()")
    for _ in range(3):
        page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    shows(page, "epoch 4: train loss")
    page.switch_to.active_element.send_keys("+")
    page.find_element("xpath", "//label[contains(., 'log scale')]/input").click()
    shows(page, "Loss")


def test_the_list_is_searched_filtered_and_sorted(page):
    box = page.find_element("id", "search")
    box.send_keys("soft bounds")
    waited(page, lambda b: "Digits, constant step" not in text(b) and "Digits, soft bounds" in text(b))
    box.send_keys(" nothing like it")
    shows(page, "Nothing fits.")
    page.find_element("xpath", "//button[.='Show all']").click()
    shows(page, "Digits, constant step")
    page.find_element("xpath", "//th//button[.='Name']").click()
    page.find_element("xpath", "//th//button[.='Name']").click()
    waited(page, lambda b: b.find_element("css selector", "th[aria-sort=ascending]").text.startswith("Name"))
    names = [one.text for one in page.find_elements("css selector", "td.name a")]
    assert names == sorted(names, key=str.lower)
    page.find_element("css selector", "#states option[value=failed]").click()
    shows(page, "Nothing fits.")


def test_name_tags_and_notes_are_changed_and_found(page):
    page.find_element("link text", "Digits, soft bounds").click()
    shows(page, "Name, tags and notes")
    page.find_element("xpath", "//summary[.='Name, tags and notes']").click()
    page.find_element("id", "edit-tags").send_keys("good, paper")
    page.find_element("id", "edit-notes").send_keys("the one of figure 3")
    page.find_element("xpath", "//button[.='Save']").click()
    shows(page, "Saved.", "the one of figure 3", "paper")
    page.get(page.current_url.partition("#")[0])
    shows(page, "Digits, soft bounds")
    page.find_element("id", "search").send_keys("figure")
    waited(page, lambda b: "Digits, constant step" not in text(b) and "paper" in text(b))


def test_what_is_not_there_is_said_in_place_of_what_was(page, service):
    page.find_element("link text", "Digits, constant step").click()
    shows(page, "weights.npz")
    page.execute_script(f"location.hash = '#/experiments/{'z' * 12}'")
    shows(page, "Not found", "There is no such experiment")
    assert "weights.npz" not in text(page) and "Digits, constant step" not in text(page)
    page.execute_script("location.hash = '#/nonsense'")
    shows(page, "There is no page #/nonsense")
    page.execute_script("location.hash = '#/'")
    shows(page, "Digits, constant step")


def test_comparing_two_by_keyboard_alone(page):
    from selenium.webdriver.common.keys import Keys

    for name in ("Digits, constant step", "Digits, soft bounds"):
        box = page.find_element("css selector", f"input[aria-label='Choose {name} to compare']")
        page.execute_script("arguments[0].focus()", box)
        page.switch_to.active_element.send_keys(Keys.SPACE)
    button = page.find_element("xpath", "//button[contains(., 'Compare the 2')]")
    page.execute_script("arguments[0].focus()", button)
    page.switch_to.active_element.send_keys(Keys.ENTER)
    shows(page, "What they are, differences first", "layers.1.config.device.class", "SoftBounds")
    first = page.find_elements("css selector", ".scroll tbody tr")[0]
    assert "differs" in first.get_attribute("class")
    picture(page, "compare")


def test_everything_can_be_reached_with_the_tab_key(page):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    seen = set()
    for _ in range(24):
        ActionChains(page).send_keys(Keys.TAB).perform()  # to whatever has the focus: the list is drawn anew meanwhile
        seen.add(
            page.execute_script("const e = document.activeElement; return e.textContent || e.ariaLabel || e.tagName")
        )
    assert {"Skip to the content", "API", "Log out", "Digits, constant step"} <= seen


def done(browser):
    """What the page says of the epochs that are done."""
    return text(browser).partition(f" of {LONG}")[0].rpartition("\n")[2]


def test_a_running_one_is_watched_and_cancelled(page):
    page.find_element("link text", "<b>A long one</b>").click()
    shows(page, "running", f"of {LONG}", "elapsed", seconds=90)
    before = done(page)
    waited(page, lambda b: done(b) != before, 60)  # live
    page.find_element("xpath", "//button[.='Cancel']").click()
    page.switch_to.alert.accept()
    shows(page, "cancelled by its owner", seconds=60)
    assert not page.find_elements("xpath", "//button[.='Cancel']")


def test_the_api_page_works_without_any_other_host(page, service):
    page.get(f"{service.url}/api.html")
    shows(page, "PUT /api/v1/experiments/{id}", "POST /token/login")
    picture(page, "api")


def test_logging_out(page):
    page.find_element("id", "logout").click()
    shows(page, "Log in")
    page.refresh()
    shows(page, "Log in")


def test_the_browser_had_nothing_to_complain_about(browser):
    expected = ("401", f"{'z' * 12}/epochs")  # logged out, and what is not there
    lines = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert not [line for line in lines if not any(word in line for word in expected)]

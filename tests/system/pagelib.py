# SPDX-License-Identifier: BSD-2-Clause
"""The page in a headless Chromium, for tests of any mesh."""

import contextlib
import shutil
import tempfile

import meshlib
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.common.exceptions import StaleElementReferenceException

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--window-size=1280,800")


class Page:
    """What a person sees and does."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        """Freshly loaded, with its matrix."""
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(url)
        self.wait("the grid is drawn", lambda: self.driver.execute_script(
            "return document.getElementById('canvas').dataset.cw !== undefined"))
        return self

    def el(self, name):
        return self.driver.find_element(By.ID, name)

    def text(self, name):
        """Text of an element; '' while it is being replaced."""
        try:
            return self.el(name).text
        except StaleElementReferenceException:
            return ""

    def wait(self, what, fn, timeout=10):
        def again():
            try:
                return fn()
            except StaleElementReferenceException:
                return None  # the page drew it anew meanwhile
        return meshlib.wait_until(what, again, timeout * meshlib.SLOW)

    def click(self, css):
        """As a person does: again, when it was drawn anew under the mouse."""
        self.wait(f"a click on {css}", lambda: self.driver.find_element(By.CSS_SELECTOR, css).click() or True)

    def cell(self, src, dst):
        """Middle of a cell in CSS pixels of the canvas."""
        g = self.driver.execute_script("return {...document.getElementById('canvas').dataset}")
        row, col = g["rows"].split().index(src), g["columns"].split().index(dst)
        return (float(g["left"]) + (col + .5) * float(g["cw"]),
                float(g["top"]) + (row + .5) * float(g["ch"]))

    def pixel(self, src, dst):
        """Red, green, blue and alpha of a cell's ground, as drawn, left of its
        number."""
        x, y = self.cell(src, dst)
        return self.driver.execute_script(
            "const c = document.getElementById('canvas'), d = c.dataset;"
            "const k = c.width / c.clientWidth;"
            "return [...c.getContext('2d').getImageData(Math.round((arguments[0] - d.cw * .42) * k),"
            " Math.round((arguments[1] + d.ch * .38) * k), 1, 1).data]", x, y)

    def colour(self, src, dst):
        """Ground of a cell; None while the page is faded, because it waits for
        the controller."""
        *ground, alpha = self.pixel(src, dst)
        return tuple(ground) if alpha == 255 else None

    def sides(self):
        """Names of the rows and of the columns."""
        g = self.driver.execute_script("return {...document.getElementById('canvas').dataset}")
        return g["rows"].split(), g["columns"].split()

    def hover(self, src, dst):
        x, y = self.cell(src, dst)
        size = self.el("canvas").size
        return ActionChains(self.driver).move_to_element_with_offset(
            self.el("canvas"), int(x - size["width"] / 2), int(y - size["height"] / 2))

    def console(self):
        """What the browser complains about, but a controller that is away."""
        return [e["message"] for e in self.driver.get_log("browser")
                if e["level"] == "SEVERE" and "net::ERR_CONN" not in e["message"]]


@contextlib.contextmanager
def browser():
    """A driver with a profile of its own, ended and removed at last."""
    profile = tempfile.mkdtemp(prefix="twmpage", dir=meshlib.TMP)
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for f in FLAGS + (f"--user-data-dir={profile}",):
        options.add_argument(f)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)

# SPDX-License-Identifier: BSD-2-Clause
"""Fixtures: a mesh per module, looked at after each test for reports."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import meshlib  # noqa: E402  pylint: disable=wrong-import-position


def pytest_configure():
    """SIGTERM ends the run as Ctrl-C does: fixtures clean up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failing test shows the last lines of its mesh's logs."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        mesh = item.funcargs.get("mesh")
        if mesh is not None:
            report.sections.append(("logs of the mesh", mesh.log_tails()))


@pytest.fixture(scope="module")
def mesh(request):
    """The module's mesh; names in its MESH_NODES (default three), full before
    the first test."""
    names = getattr(request.module, "MESH_NODES", ("ams1", "fra1", "nyc1"))
    with meshlib.Mesh(names) as m:
        m.wait_full()
        yield m


@pytest.fixture(scope="module")
def browser():
    """A headless browser."""
    import pagelib  # pylint: disable=import-outside-toplevel
    with pagelib.browser() as driver:
        yield driver


@pytest.fixture(autouse=True)
def no_reports(request):
    """No daemon may have said something that a sanitizer or bug() says."""
    yield
    if "mesh" in request.fixturenames:
        found = request.getfixturevalue("mesh").reports()
        assert not found, "\n".join(found)

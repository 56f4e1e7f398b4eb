# SPDX-License-Identifier: BSD-2-Clause
"""ci/demo as a person uses it: side by side, stopped in every way, and with
settings that are wrong. Whatever happens, no process may stay."""

import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile

import emulib
import meshlib
import pytest

DEMO = os.path.join(meshlib.ROOT, "ci/demo")


class Demo:
    """One run. A process group of its own, so that Ctrl-C reaches all of it
    and nobody else; its children are told by their command lines."""

    def __init__(self, **env):
        self.out = tempfile.mkstemp(prefix="twdemo", dir=meshlib.TMP)[1]
        with open(self.out, "wb") as out:
            self.proc = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "env", "--default-signal=INT,HUP", DEMO],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env={**os.environ, "BUILD_DIR": meshlib.BUILD, "NODES": "2", **env})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        os.unlink(self.out)

    def text(self):
        with open(self.out, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_text(self, pattern, timeout=60):
        def look():
            found = re.search(pattern, self.text())
            assert found or self.proc.poll() is None, self.text()
            return found
        return meshlib.wait_until(f"'{pattern}' from the demo", look, timeout * meshlib.SLOW)

    def dir(self):
        """Its directory, as it says."""
        return self.wait_text(r"PostgreSQL in (/tmp/twmesh-demo-\d+)\n").group(1)

    def ctrl_c(self):
        os.killpg(self.proc.pid, signal.SIGINT)

    def wait(self, timeout=90):
        """Its exit status; the time is a guard against hanging."""
        return self.proc.wait(timeout * meshlib.SLOW)


def processes(directory):
    """Whose command line names the directory."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(re.escape(directory) + r"\b", line):
            found.append(f"{path} {line}")
    return found


LINKS = sorted(os.listdir("/sys/class/net"))


def nothing_left(directory):
    assert processes(directory) == []
    assert not os.path.exists(directory)
    assert sorted(os.listdir("/sys/class/net")) == LINKS


@pytest.mark.parametrize("emulate", ["yes", "no"])
def test_either_network(emulate):
    """Delays of its net.conf there and back, or none; and it says which."""
    if emulate == "yes":
        emulib.need()
    with Demo(NODES="3", EMULATE=emulate) as d:
        directory = d.dir()
        d.wait_text("Things to try", 120)
        d.ctrl_c()
        assert d.wait() == 0, d.text()
        fra1, lon1 = map(float, re.search(r"^ams1 +. +([0-9.]+) +([0-9.]+)", d.text(), re.M).groups())
        if emulate == "yes":
            assert "3 nodes in network namespaces" in d.text()
            assert 5.5 < fra1 < 25 * meshlib.SLOW and 5.3 < lon1 < 25 * meshlib.SLOW
        else:
            assert "3 nodes on plain loopback, without delays (EMULATE=no)" in d.text()
            assert fra1 < 5 * meshlib.SLOW
        nothing_left(directory)


def test_two_side_by_side_never_meet():
    with Demo(NODES="3") as a, Demo(NODES="2") as b:
        dirs = {a.dir(), b.dir()}
        urls = {d.wait_text(r"http://127\.0\.0\.1:\d+/").group(0) for d in (a, b)}
        assert len(dirs) == 2 and len(urls) == 2
        a.wait_text("6 of 6 directions healthy")
        b.wait_text("2 of 2 directions healthy")
        a.ctrl_c()
        b.ctrl_c()
        assert (a.wait(), b.wait()) == (0, 0), a.text() + b.text()
        for d in dirs:
            nothing_left(d)


@pytest.mark.parametrize("moment", ["private PostgreSQL", "http://", "nodes, 0 of", "matrix is full"])
def test_ctrl_c_leaves_nothing_at_any_moment(moment):
    with Demo() as d:
        directory = d.dir()
        d.wait_text(moment)
        d.ctrl_c()
        assert d.wait() == (0 if "matrix is full" in d.text() else 130), d.text()
        assert "stopped, nothing left behind" in d.text()
        nothing_left(directory)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_a_polite_signal_to_the_script_leaves_nothing(sig):
    with Demo() as d:
        directory = d.dir()
        d.wait_text("http://")
        d.proc.send_signal(sig)
        assert d.wait() == 143, d.text()
        nothing_left(directory)


@pytest.mark.parametrize("moment", ["private PostgreSQL", "http://", "matrix is full"])
def test_kill_9_leaves_no_process_and_the_next_removes_the_directory(moment):
    with Demo() as d:
        directory = d.dir()
        d.wait_text(moment)
        d.proc.kill()
        meshlib.wait_until("all are gone", lambda: not processes(directory), 10 * meshlib.SLOW)
        assert d.wait() == -signal.SIGKILL
    assert os.path.isdir(directory)
    with Demo() as d:
        mine = d.dir()
        assert mine == directory or not os.path.exists(directory)
        d.proc.terminate()
        d.wait()
        nothing_left(mine)


def test_kept_is_what_one_wants_to_read_later():
    parent = tempfile.mkdtemp(prefix="twkeep", dir=meshlib.TMP)
    try:
        keep = os.path.join(parent, "new")
        with Demo(KEEP=keep, DURATION=str(15 * meshlib.SLOW)) as d:
            directory = d.dir()
            assert d.wait() == 0, d.text()
            assert "2 of 2 directions measured" in d.text()
            assert f"kept database, logs and configuration in {keep}" in d.text()
        nothing_left(directory)
        kept = set(os.listdir(keep))
        assert {"pg", "log", "controller.conf", "ams1", "fra1"} <= kept and "bin" not in kept
        with open(os.path.join(keep, "log/ams1-meshd.log"), encoding="utf-8") as f:
            log = f.read()
        assert log and not meshlib.REPORT.search(log)
        with Demo(KEEP=keep) as d:
            assert d.wait() == 2
            assert "expected an empty or new directory" in d.text()
    finally:
        shutil.rmtree(parent)


@pytest.mark.parametrize("name,value", [
    ("NODES", "1"), ("NODES", "51"), ("NODES", "-3"), ("NODES", "many"), ("NODES", "08"), ("NODES", "2 3"),
    ("NODES", "99999999999999999999"), ("DURATION", "1m"), ("DURATION", "-1"), ("EMULATE", "maybe")])
def test_wrong_settings_are_refused_in_one_line(name, value):
    with Demo(**{name: value}) as d:
        assert d.wait() == 2
        assert d.text().count("\n") == 1
        what = "yes or no" if name == "EMULATE" else "a number from"
        assert f"{name}: expected {what}" in d.text() and f"found '{value}'" in d.text()


def test_a_duration_too_short_to_fill_the_matrix_is_a_failure():
    with Demo(DURATION="1", NODES="4") as d:
        directory = d.dir()
        assert d.wait() == 1
        assert re.search(r"after 1 s only \d+ of 12 directions were measured", d.text()), d.text()
        nothing_left(directory)

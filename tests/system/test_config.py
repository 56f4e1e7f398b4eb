# SPDX-License-Identifier: BSD-2-Clause
"""Configuration of the daemons as an operator meets it: -p, -n and errors."""

import os
import re

import meshlib
import pytest

DAEMONS = ("twmesh-reflector", "twmesh-meshd", "twmesh-controller")
# What ends the program or belongs to no key.
COMMON = {"config", "check", "print", "sample-config", "mdoc-config", "log-level", "version",
          "help", "migrate", "show-key"}
# A value for each option of each daemon, and the line that -p then prints.
SHOWN = {
    "twmesh-reflector": {
        "address": ("127.0.0.9", 'address = {"127.0.0.9"}'), "port": ("1862", "port = 1862"),
        "socket": ("/tmp/r.sock", 'socket = "/tmp/r.sock"'),
        "stateless": (None, "stateful = false")},
    "twmesh-meshd": {
        "name": ("ams9", 'name = "ams9"'), "site": ("ams", 'site = "ams"'),
        "state-dir": ("/tmp/s", 'state_dir = "/tmp/s"'),
        "socket": ("/tmp/m.sock", 'socket = "/tmp/m.sock"')},
    "twmesh-controller": {
        "database": ("dbname=x", 'database = "dbname=x"'),
        "listen": ("127.0.0.9:99", 'listen = "127.0.0.9:99"'),
        "http": ("127.0.0.9:98", 'http = "127.0.0.9:98"'),
        "socket": ("/tmp/c.sock", 'socket = "/tmp/c.sock"'),
        "state-dir": ("/tmp/s", 'state_dir = "/tmp/s"'),
        "trust-first-use": ("loopback", 'trust_first_use = "loopback"'),
        "web-dir": ("/tmp/w", 'web_dir = "/tmp/w"'), "sql-dir": ("/tmp/q", 'sql_dir = "/tmp/q"')},
}


@pytest.fixture
def conf(tmp_path):
    """A file that each daemon accepts, whatever it contains besides."""
    def write(daemon, text=""):
        path = tmp_path / "x.conf"
        if daemon == "twmesh-meshd":
            text += f'controller "c1" {{\n\taddress = "127.0.0.1:8620"\n\tkey = "{"A" * 52}"\n}}\n'
        path.write_text(text, encoding="utf-8")
        return str(path)
    return write


@pytest.mark.parametrize("daemon", DAEMONS)
def test_every_option_shows_in_the_effective_configuration(daemon, conf):
    told = meshlib.run(meshlib.prog(daemon), "--help").stdout
    options = set(re.findall(r"--([a-z][a-z-]+)", told)) - COMMON
    assert options == set(SHOWN[daemon]), "an option without a value in this test"
    path = conf(daemon)
    for option, (value, line) in SHOWN[daemon].items():
        words = [f"--{option}"] + ([value] if value else [])
        done = meshlib.run(meshlib.prog(daemon), *words, "-p", "-c", path)
        assert done.returncode == 0, done.stderr
        assert line in done.stdout.splitlines(), (option, done.stdout)
        without = meshlib.run(meshlib.prog(daemon), "-p", "-c", path)
        assert line not in without.stdout.splitlines(), option


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_file_with_three_errors_shows_three_lines(daemon, conf):
    """An unknown key, a slip of syntax, a bad value: all at once, each with
    its line, and exit 2 without having started."""
    other = {"twmesh-reflector": "port", "twmesh-meshd": "site", "twmesh-controller": "database"}[daemon]
    path = conf(daemon, f"colour = blue\n\n{other} 12\n"
                        'state = { "a", "b" }\nsocket = "relative/\t"\n')
    for how in ((), ("-n",), ("-p",)):
        done = meshlib.run(meshlib.prog(daemon), *how, "-c", path)
        lines = done.stderr.splitlines()
        assert done.returncode == 2 and done.stdout == "", done
        assert [ln.split(": ")[0] for ln in lines] == [f"{path}:{n}" for n in (1, 3, 4, 5)], done.stderr
        for line, key, found in zip(lines, ("colour", other, "state", "socket"),
                                    ("'colour'", "'12'", "'state'", "'relative/?'")):
            assert f": {key}: expected " in line and ", found " in line and found in line


def test_what_no_single_key_shows_is_checked_too(conf, tmp_path):
    """-n says what a start would say."""
    path = tmp_path / "m.conf"
    path.write_text('controller "c1" {\n\taddress = "127.0.0.1:8620"\n}\n', encoding="ascii")
    done = meshlib.run(meshlib.prog("twmesh-meshd"), "-n", "-c", str(path))
    assert done.returncode == 2 and 'controller "c1": key: expected' in done.stderr, done
    assert meshlib.run(meshlib.prog("twmesh-meshd"), "-n", "-c", conf("twmesh-meshd", 'name = "a"\n')).returncode == 0


@pytest.mark.parametrize("prefix,etc", [("/usr", "/etc/twmesh"), ("/opt/tw", "/opt/tw/etc/twmesh")])
def test_what_is_installed_fits_together(tmp_path, prefix, etc):
    dest = str(tmp_path)
    done = meshlib.run(meshlib.ROOT + "/ci/install-files", dest, prefix, meshlib.BUILD)
    assert done.returncode == 0, done.stderr
    for daemon in DAEMONS:
        with open(f"{dest}{prefix}/lib/systemd/system/{daemon}.service", encoding="ascii") as f:
            start = re.search(r"^ExecStart=(\S+) -c (\S+)$", f.read(), re.M)
        assert start[1] == f"{prefix}/sbin/{daemon}"
        assert start[2] == f"{etc}/{daemon.removeprefix('twmesh-')}.conf"
        assert os.access(dest + start[1], os.X_OK) and os.path.exists(dest + start[2] + ".sample")
    for f in ("share/twmesh/web/index.html", "share/twmesh/sql/0001_tables.sql", "share/man/man1/twmesh.1",
              "share/bash-completion/completions/twmesh"):
        assert os.path.exists(f"{dest}{prefix}/{f}"), f
    pages = f"{dest}{prefix}/share/doc/twmesh"
    for page in ["README.md"] + ["docs/" + f for f in os.listdir(pages + "/docs") if f.endswith(".md")]:
        with open(f"{pages}/{page}", encoding="utf-8") as f:
            for link in re.findall(r"\]\(([\w./-]+)(?:#[^)]*)?\)", f.read()):
                assert os.path.exists(os.path.join(pages, os.path.dirname(page), link)), (page, link)


@pytest.mark.parametrize("daemon,option,value", [
    ("twmesh-controller", "trust-first-use", "maybe"), ("twmesh-meshd", "state-dir", "")])
def test_a_wrong_option_is_named_as_it_was_typed(daemon, option, value):
    done = meshlib.run(meshlib.prog(daemon), f"--{option}", value)
    assert done.returncode == 2 and done.stderr.startswith(f"--{option}: expected"), done.stderr

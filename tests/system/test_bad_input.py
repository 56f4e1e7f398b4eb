# SPDX-License-Identifier: BSD-2-Clause
"""The operator's mistakes: one clear line that says what was expected and what
was found, and exit status 2."""

import os
import shutil
import socket
import tempfile

import meshlib
import pytest

DAEMONS = ("reflector", "meshd", "controller")
KEY = "A" * 52


@pytest.fixture
def tmp():
    d = tempfile.mkdtemp(prefix="twb", dir=meshlib.TMP)
    yield d
    shutil.rmtree(d)


def write(path, text, mode=0o644):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def good_conf(daemon, d):
    """A configuration that is right, to make wrong in one place."""
    return {
        "reflector": f'address = {{ "127.0.0.1" }}\nport = 18862\nsocket = "{d}/r.sock"\n',
        "meshd": f'name = "ams1"\nstate_dir = "{d}"\nsocket = "{d}/m.sock"\nreflector_socket = ""\n'
                 f'controller "c" {{\n\taddress = "127.0.0.1:1"\n\tkey = "{KEY}"\n}}\n',
        "controller": f'database = "host={d} dbname=nothing connect_timeout=2"\nlisten = "127.0.0.1:18620"\n'
                      f'http = "127.0.0.1:0"\nsocket = "{d}/c.sock"\nstate_dir = "{d}"\n'
                      f'sql_dir = "{meshlib.ROOT}/sql"\nweb_dir = "{meshlib.ROOT}/web"\n',
    }[daemon]


def one_line(done, status, *wanted):
    """Exit status, and one line on stderr that holds all that is wanted."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    lines = [x for x in done.stderr.strip().splitlines() if " info: " not in x]
    assert len(lines) == 1, done.stderr
    for w in wanted:
        assert w in lines[0], f"{w!r} in {lines[0]!r}"
    assert not meshlib.REPORT.search(done.stderr)


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_right_configuration_passes_and_prints_back(daemon, tmp):
    conf = write(tmp + "/x.conf", good_conf(daemon, tmp))
    p = meshlib.prog("twmesh-" + daemon)
    done = meshlib.run(p, "-c", conf, "-n")
    assert done.returncode == 0, done.stderr
    done = meshlib.run(p, "-c", conf, "-p")
    assert done.returncode == 0, done.stderr
    again = write(tmp + "/y.conf", done.stdout)
    assert meshlib.run(p, "-c", again, "-p").stdout == done.stdout


@pytest.mark.parametrize("daemon", DAEMONS)
def test_the_sample_is_a_valid_configuration(daemon, tmp):
    done = meshlib.run(meshlib.prog("twmesh-" + daemon), "--sample-config")
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 10
    text = done.stdout
    if daemon == "meshd":  # a controller is the one thing nobody can default
        text = good_conf(daemon, tmp) + text
    conf = write(tmp + "/s.conf", text)
    done = meshlib.run(meshlib.prog("twmesh-" + daemon), "-c", conf, "-n")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("daemon", DAEMONS)
@pytest.mark.parametrize("line,found", [
    ("no_such_key = 1", "no_such_key"), ("socket = ", ""), ("socket = {", ""), ("}", ""),
    ('socket = "unterminated', ""), ("\x01\x02", "")])
def test_broken_configuration_names_file_and_line(daemon, line, found, tmp):
    conf = write(tmp + "/x.conf", "# first line\n" + line + "\n")
    for option in ("-n", "-p", None):
        argv = [meshlib.prog("twmesh-" + daemon), "-c", conf] + ([option] if option else [])
        done = meshlib.run(*argv)
        assert done.returncode == 2, (argv, done.stderr)
        assert f"{conf}:" in done.stderr and found in done.stderr, done.stderr
        assert "expected" in done.stderr, done.stderr


@pytest.mark.parametrize("daemon,line,words", [
    ("reflector", "port = 70000", ("port", "65535", "70000")),
    ("reflector", "port = \"a lot\"", ("port", "a lot")),
    ("reflector", 'address = { "not-an-address" }', ("address", "not-an-address")),
    ("reflector", 'allow = { "10.0.0.0/33" }', ("allow", "10.0.0.0/33")),
    ("reflector", 'session_idle = "soon"', ("session_idle", "soon")),
    ("reflector", "stateful = maybe", ("stateful", "maybe")),
    ("meshd", 'name = "Not A Name"', ("name", "Not A Name")),
    ("meshd", 'source4 = "::1"', ("source4", "::1")),
    ("meshd", "source_port_base = -1", ("source_port_base", "-1")),
    ("controller", 'listen = "nonsense"', ("listen", "nonsense")),
    ("controller", 'http = "0.0.0.0:8080"', ("http", "0.0.0.0")),
    ("controller", 'trust_first_use = "always"', ("trust_first_use", "always")),
    ("controller", 'class "x" { rate = 0 }', ("rate", "0")),
    ("controller", 'class "x" { dscp = 64 }', ("dscp", "64")),
    ("controller", 'class "x" { size = 10 }', ("size", "10")),
    ("controller", 'class "Bad Name" { }', ("class", "Bad Name")),
    ("controller", "window = 0", ("window", "0"))])
def test_out_of_range_values_say_what_was_expected(daemon, line, words, tmp):
    key = line.split()[0]
    lines = [x for x in good_conf(daemon, tmp).splitlines() if x.split()[:1] != [key]]
    at = len(lines) + 1
    conf = write(tmp + "/x.conf", "\n".join(lines + [line]) + "\n")
    done = meshlib.run(meshlib.prog("twmesh-" + daemon), "-c", conf, "-n")
    one_line(done, 2, f"{conf}:{at}:", "expected", *words)


def test_trust_on_first_use_only_on_loopback(tmp):
    text = good_conf("controller", tmp).replace("127.0.0.1:18620", "0.0.0.0:18620")
    conf = write(tmp + "/x.conf", text + 'trust_first_use = "loopback"\n')
    done = meshlib.run(meshlib.prog("twmesh-controller"), "-c", conf, "-n")
    one_line(done, 2, "trust_first_use", "loopback")


@pytest.mark.parametrize("program", ["twmesh-" + d for d in DAEMONS])
@pytest.mark.parametrize("args,found", [
    (["--nonsense"], "nonsense"), (["stray"], "stray"), (["-c"], "-c"), (["-c", "/nonexistent/x"], "/nonexistent/x"),
    (["-c", "/"], "/"), (["--log-level", "loud"], "loud"), (["--log-level"], "log-level")])
def test_bad_flags_of_daemons(program, args, found):
    one_line(meshlib.run(meshlib.prog(program), *args), 2, found)


@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["ping"], ["ping", "--nonsense", "127.0.0.1"], ["ping", "-c", "0", "127.0.0.1"],
    ["ping", "-c", "x", "127.0.0.1"], ["ping", "-i", "-1", "127.0.0.1"], ["ping", "-s", "13", "127.0.0.1"],
    ["ping", "-s", "100000", "127.0.0.1"], ["ping", "--dscp", "64", "127.0.0.1"], ["ping", "127.0.0.1:0"],
    ["ping", "127.0.0.1:99999"], ["ping", "-4", "::1"], ["ping", "no.such.host.invalid"],
    ["matrix", "--metric"], ["matrix", "stray"], ["path", "ams1"], ["node"], ["node", "approve"],
    ["node", "approve", "x"], ["node", "remove"], ["--controller", "nonsense", "matrix"],
    ["--controller", "http://127.0.0.1:1", "matrix"], ["--socket", "/nonexistent/s", "matrix"],
    ["--socket", "", "matrix"], ["ping", "-4", "-6", "localhost"]])
def test_bad_flags_of_the_command(args):
    done = meshlib.run(meshlib.prog("twmesh"), *args, env={"TWMESH_SOCKET": "/nonexistent/socket"})
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.strip(), "says something"
    if args:
        assert len(done.stderr.strip().splitlines()) <= 3, done.stderr
    assert not meshlib.REPORT.search(done.stderr)


@pytest.mark.parametrize("program", ["twmesh"] + ["twmesh-" + d for d in DAEMONS])
def test_help_and_version_go_to_stdout(program):
    for flag in ("--help", "--version"):
        done = meshlib.run(meshlib.prog(program), flag)
        assert done.returncode == 0 and program in done.stdout and not done.stderr


@pytest.mark.parametrize("kind", ["udp", "socket"])
def test_taken_port_or_socket_of_the_reflector(kind, tmp):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken, socket.socket(socket.AF_UNIX) as live:
        taken.bind(("127.0.0.1", 0))
        live.bind(tmp + "/live.sock")
        live.listen()
        port = taken.getsockname()[1] if kind == "udp" else "18863"
        sock = tmp + ("/live.sock" if kind == "socket" else "/r.sock")
        done = meshlib.run(meshlib.prog("twmesh-reflector"), "--address", "127.0.0.1", "--port", port,
                           "--socket", sock, timeout=10)
        one_line(done, 2, str(port) if kind == "udp" else sock)


def test_privileged_port_without_rights_says_so(tmp):
    if os.geteuid() != 0:
        argv = []
    else:
        argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]
        os.chmod(tmp, 0o777)
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as f:
        if int(f.read()) <= 862:
            pytest.skip("any user may bind port 862 here")
    p = shutil.copy(meshlib.prog("twmesh-reflector"), tmp)  # reachable for that user
    done = meshlib.run(*argv, p, "--address", "127.0.0.1", "--socket", tmp + "/r.sock", timeout=10)
    one_line(done, 2, "862")


def test_taken_ports_of_the_controller(tmp):
    with meshlib.Mesh(()) as m:
        conf = write(tmp + "/x.conf", good_conf("controller", tmp)
                     .replace(f"host={tmp} dbname=nothing", m.pg.dsn()).replace("127.0.0.1:18620", m.hub))
        done = meshlib.run(meshlib.prog("twmesh-controller"), "-c", conf, timeout=20)
        one_line(done, 2, m.hub)
        conf = write(tmp + "/y.conf", good_conf("controller", tmp)
                     .replace(f"host={tmp} dbname=nothing", m.pg.dsn())
                     .replace("127.0.0.1:18620", m.block.addr(253) + ":8620")
                     .replace("127.0.0.1:0", m.url.removeprefix("http://")))
        done = meshlib.run(meshlib.prog("twmesh-controller"), "-c", conf, timeout=20)
        one_line(done, 2, m.url.removeprefix("http://").split(":")[1])


def test_wrong_database_states(tmp):
    conf = write(tmp + "/x.conf", good_conf("controller", tmp))
    p = meshlib.prog("twmesh-controller")
    # Nothing listens there. (The daemon itself waits: test_start.py.)
    done = meshlib.run(p, "-c", conf, "--migrate", timeout=30)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and tmp in done.stderr, done.stderr
    with meshlib.Mesh(()) as m:
        m.pg.sql("CREATE DATABASE empty", db="postgres")
        base = good_conf("controller", tmp).replace("127.0.0.1:18620", m.block.addr(253) + ":8620")
        old = f"host={tmp} dbname=nothing connect_timeout=2"
        conf = write(tmp + "/a.conf", base.replace(old, m.pg.dsn("nothing")))
        one_line(meshlib.run(p, "-c", conf, "--migrate"), 2, "nothing")
        conf = write(tmp + "/b.conf", base.replace(old, m.pg.dsn("empty")))
        one_line(meshlib.run(p, "-c", conf, timeout=20), 2, "--migrate")
        # idempotent, and newer than the program is refused
        conf = write(tmp + "/c.conf", base.replace(old, m.pg.dsn()))
        assert meshlib.run(p, "-c", conf, "--migrate").returncode == 0
        m.sql("INSERT INTO twmesh.schema_migration SELECT (r).* FROM (SELECT r FROM twmesh.schema_migration r "
              "ORDER BY version DESC LIMIT 1) x, LATERAL (SELECT jsonb_populate_record(x.r, "
              "jsonb_build_object('version', (x.r).version + 1000)) r) y") if False else \
            m.sql("UPDATE twmesh.schema_migration SET version = version + 1000 WHERE version = "
                  "(SELECT max(version) FROM twmesh.schema_migration)")
        for option in (["--migrate"], []):
            done = meshlib.run(p, "-c", conf, *option, timeout=20)
            assert done.returncode == 2 and "newer" in done.stderr, done.stderr
        m.sql("UPDATE twmesh.schema_migration SET version = version - 1000 WHERE version > 1000")


@pytest.mark.parametrize("daemon,key", [("meshd", "node.key"), ("controller", "controller.key")])
def test_key_files_others_can_read_are_refused(daemon, key, tmp):
    conf = write(tmp + "/x.conf", good_conf(daemon, tmp))
    p = meshlib.prog("twmesh-" + daemon)
    assert meshlib.run(p, "-c", conf, "--show-key").returncode == 0
    os.chmod(f"{tmp}/{key}", 0o644)
    one_line(meshlib.run(p, "-c", conf, "--show-key"), 2, key, "600")
    one_line(meshlib.run(p, "-c", conf, timeout=20), 2, key, "600")
    write(f"{tmp}/{key}", "not a key\n", 0o600)
    one_line(meshlib.run(p, "-c", conf, timeout=20), 2, key)


def test_meshd_without_a_controller_or_with_a_bad_key(tmp):
    p = meshlib.prog("twmesh-meshd")
    base = good_conf("meshd", tmp)
    conf = write(tmp + "/x.conf", base[:base.index("controller")])
    one_line(meshlib.run(p, "-c", conf, timeout=10), 2, "controller")
    conf = write(tmp + "/y.conf", base.replace(KEY, "not-a-key!"))
    one_line(meshlib.run(p, "-c", conf, timeout=10), 2, "key")
    conf = write(tmp + "/z.conf", base.replace("127.0.0.1:1", "127.0.0.1"))
    one_line(meshlib.run(p, "-c", conf, timeout=10), 2, "address", "127.0.0.1")


def test_spool_that_is_not_a_database(tmp):
    conf = write(tmp + "/x.conf", good_conf("meshd", tmp))
    write(tmp + "/spool.db", "this is not a database\n" * 100, 0o600)
    done = meshlib.run(meshlib.prog("twmesh-meshd"), "-c", conf, timeout=10)
    one_line(done, 2, "spool.db")


def test_controller_without_zap_handler_refuses_to_start():
    """A CURVE server without a handler lets every key in: the self-test at
    start must notice."""
    with meshlib.Mesh(()) as m:
        conf = write(m.dir + "/zap.conf", open(m.conf, encoding="ascii").read()
                     .replace(m.hub, m.block.addr(253) + ":8620").replace(m.socket, m.dir + "/zap.sock"))
        done = meshlib.run(meshlib.prog("twmesh-controller"), "-c", conf,
                           env={"TWMESH_TEST_NO_ZAP": "1"}, timeout=20)
        assert done.returncode != 0 and "ready" not in done.stderr, done.stderr
        assert any("key" in line for line in done.stderr.splitlines()), done.stderr

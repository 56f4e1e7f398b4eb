# SPDX-License-Identifier: BSD-2-Clause
"""A real mesh for tests: private PostgreSQL, controller, nodes on loopback.

Every mesh takes a block 127.x.y.* of its own (an abstract unix socket is the
lock, so that it ends with the process), so that runs side by side never meet.
Daemons die with pytest whatever happens to it. A sanitizer's report in any log
fails whoever looks at the logs: Mesh.stop() does.
"""

import contextlib
import glob
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import psycopg2

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD_DIR") or os.path.join(ROOT, "build/gcc"))
SANITIZED = re.search(r"asan|ubsan|tsan", os.path.basename(BUILD)) is not None
# Sanitizers make programs two to five times slower; bounds that are about the
# machine (never those that are the product's promise) are stretched by this.
SLOW = 3 if SANITIZED else 1
REPORT = re.compile(r"ERROR: \w*Sanitizer|runtime error:|WARNING: ThreadSanitizer|"
                    r"LeakSanitizer: detected|BUG:")
REFLECTOR_PORT = 8862
# Where tests make their directories: short, since unix sockets are in there,
# and open, since PostgreSQL is another user when we are root. ci/run-system
# gives one that it removes, whatever happens to us.
TMP = os.environ.get("TWMESH_TEST_TMP") or "/tmp"


def prog(name):
    """Path of a program under test."""
    return os.path.join(BUILD, name)


def wait_until(what, fn, timeout, every=0.1):
    """Polls fn until it returns something true, and returns that."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = fn()
            if last:
                return last
        except (psycopg2.Error, OSError) as e:
            last = e
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout:.0f} s: {what} (last: {last!r})")
        time.sleep(every)


def run(*argv, env=None, timeout=60, stdin=None):
    """Runs a program to its end: CompletedProcess with text output."""
    return subprocess.run(
        [str(a) for a in argv], env={**os.environ, **(env or {})}, text=True,
        input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
        errors="replace")


class Block:
    """127.x.y.*, ours until released."""

    def __init__(self):
        rng = random.Random(os.getpid() ^ time.monotonic_ns())
        while True:
            x, y = rng.randint(16, 250), rng.randint(0, 255)
            self.lock = socket.socket(socket.AF_UNIX)
            try:
                self.lock.bind(f"\0twmesh-test-{x}-{y}")
            except OSError:
                self.lock.close()
                continue
            self.prefix = f"127.{x}.{y}"
            return

    def addr(self, n):
        return f"{self.prefix}.{n}"

    def release(self):
        self.lock.close()


class Daemon:
    """One process with a log; start() may be called again after its end."""

    def __init__(self, name, argv, log, env=None, user=None):
        self.name, self.argv, self.log = name, [str(a) for a in argv], log
        self.env, self.user = env or {}, user
        self.proc = None

    def start(self):
        assert self.proc is None or self.proc.poll() is not None, f"{self.name} runs"
        extra = {}
        if self.user and os.geteuid() == 0:
            pw = pwd.getpwnam(self.user)
            extra = {"user": pw.pw_uid, "group": pw.pw_gid, "extra_groups": []}
        self.log_start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "TWMESH_DIE_WITH_PARENT": str(os.getpid()), **self.env},
                start_new_session=True, **extra)
        return self

    @property
    def pid(self):
        return self.proc.pid

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def text(self, all_runs=False):
        """The log since the last start (or all of it)."""
        try:
            with open(self.log, "rb") as f:
                f.seek(0 if all_runs else self.log_start)
                return f.read().decode(errors="replace")
        except OSError:
            return ""

    def wait_log(self, pattern, timeout=20):
        """The first match of pattern in the log of this run."""
        def look():
            m = re.search(pattern, self.text(), re.M)
            if m is None and not self.alive():
                raise AssertionError(f"{self.name} ended ({self.proc.returncode}) before "
                                     f"'{pattern}':\n{self.text()[-3000:]}")
            return m
        return wait_until(f"'{pattern}' in the log of {self.name}", look, timeout * SLOW, 0.05)

    def send(self, sig):
        if self.alive():
            os.kill(self.proc.pid, sig)

    def kill(self):
        """kill -9, as a power cut would."""
        self.send(signal.SIGKILL)
        if self.proc:
            self.proc.wait()

    def stop(self, sig=signal.SIGTERM, timeout=20):
        """A planned stop; the exit status."""
        if not self.proc:
            return None
        self.send(sig)
        try:
            return self.proc.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {timeout * SLOW} s of {sig!r}"
                                 f":\n{self.text()[-3000:]}") from None


class Postgres:
    """A private cluster, socket only."""

    def __init__(self, directory):
        bins = sorted(glob.glob("/usr/lib/postgresql/*/bin"),
                      key=lambda p: int(p.split("/")[4]))
        assert bins, "no PostgreSQL in /usr/lib/postgresql"
        self.bin = bins[-1]
        self.dir = os.path.join(directory, "pg")
        self.sock = os.path.join(directory, "s")
        os.mkdir(self.sock)
        os.mkdir(self.dir, 0o700)
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            pw = pwd.getpwnam("postgres")
            os.chmod(directory, 0o755)
            for d in (self.dir, self.sock):
                os.chown(d, pw.pw_uid, pw.pw_gid)
        init = [self.bin + "/initdb", "-D", self.dir, "-A", "trust", "-E", "UTF8",
                "--locale=C.UTF-8", "-N", "-U", self.user]
        if os.geteuid() == 0:
            init = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] + init
        done = run(*init, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        with open(self.dir + "/postgresql.conf", "a", encoding="ascii") as f:
            f.write(f"listen_addresses = ''\nunix_socket_directories = '{self.sock}'\n"
                    "fsync = off\njit = off\nshared_buffers = 64MB\nmax_connections = 40\n"
                    "log_min_messages = warning\n")
        # It knows no TWMESH_DIE_WITH_PARENT, so setpriv says the same.
        self.daemon = Daemon("postgres", ["setpriv", "--pdeathsig", "QUIT",
                                          self.bin + "/postgres", "-D", self.dir],
                             os.path.join(directory, "postgres.log"), user="postgres")

    def dsn(self, db="twmesh"):
        return f"host={self.sock} dbname={db} user={self.user}"

    def start(self):
        self.daemon.start()

        def up():
            psycopg2.connect(self.dsn("postgres")).close()
            return True
        wait_until("PostgreSQL takes connections", up, 30)
        return self

    def stop(self):
        """Immediate, as a crash: nothing is flushed politely."""
        self.daemon.stop(signal.SIGQUIT, 30)

    def sql(self, query, args=None, db="twmesh"):
        with contextlib.closing(psycopg2.connect(self.dsn(db))) as c:
            c.autocommit = True
            with c.cursor() as cur:
                cur.execute(query, args)
                return cur.fetchall() if cur.description else None


class Node:
    """A site: its own reflector and mesh daemon, as on a host of its own."""

    def __init__(self, mesh, name, n, meshd_env=None, meshd_conf="", addr=None,
                 controllers=None, called=None, env=None):
        self.mesh, self.name = mesh, name
        self.addr = addr or mesh.block.addr(n)
        self.dir = os.path.join(mesh.dir, name)
        os.mkdir(self.dir)
        self.reflector_sock = os.path.join(self.dir, "r.sock")
        self.meshd_sock = os.path.join(self.dir, "m.sock")
        with open(self.path("reflector.conf"), "w", encoding="ascii") as f:
            f.write(f'address = {{ "{self.addr}" }}\nport = {REFLECTOR_PORT}\n'
                    f'socket = "{self.reflector_sock}"\n')
        with open(self.path("meshd.conf"), "w", encoding="ascii") as f:
            f.write(f'name = "{called or name}"\nsite = "{name.rstrip("0123456789")}"\n'
                    f'address = {{ "{self.addr}" }}\nreflector_port = {REFLECTOR_PORT}\n'
                    f'reflector_socket = "{self.reflector_sock}"\nsource4 = "{self.addr}"\n'
                    f'state_dir = "{self.dir}"\nsocket = "{self.meshd_sock}"\n'
                    + (controllers or mesh.section()) + meshd_conf)
        self.reflector = Daemon(name + "-reflector",
                                [prog("twmesh-reflector"), "-c", self.path("reflector.conf")],
                                os.path.join(mesh.dir, name + "-reflector.log"), env=env)
        self.meshd = Daemon(name + "-meshd", [prog("twmesh-meshd"), "-c", self.path("meshd.conf")],
                            os.path.join(mesh.dir, name + "-meshd.log"),
                            env={**(env or {}), **(meshd_env or {})})

    def path(self, *p):
        return os.path.join(self.dir, *p)

    def start(self):
        for d in (self.reflector, self.meshd):
            if not d.alive():
                d.start()
        return self

    def kill_host(self):
        self.meshd.kill()
        self.reflector.kill()

    def status(self):
        """What the daemon's local socket says: {name: value}."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as s:
            s.settimeout(10)
            s.connect(self.meshd_sock)
            s.sendall(b"status\n")
            s.shutdown(socket.SHUT_WR)
            lines = s.makefile(errors="replace").read().splitlines()
        return dict(ln.split(" ", 1) for ln in lines if " " in ln)

    def stop(self):
        a = self.meshd.stop()
        b = self.reflector.stop()
        return a, b

    def fingerprint(self):
        done = run(prog("twmesh-meshd"), "-c", self.path("meshd.conf"), "--show-key")
        assert done.returncode == 0, done.stderr
        return re.search(r"\b(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}\b", done.stdout).group(0)


def get_json(url, expect=200):
    """A JSON document over HTTP (never through a proxy); expect None: any."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as r:
            status, body = r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        status, body = e.code, e.read().decode()
    assert expect in (status, None), f"{url}: {status} {body}"
    return json.loads(body)


class Controller:
    """A further controller on a mesh's database, on an address of its own."""

    def __init__(self, mesh, name, n, extra=""):
        self.mesh, self.name = mesh, name
        self.dir = os.path.join(mesh.dir, name)
        os.mkdir(self.dir)
        self.hub = f"{mesh.block.addr(n)}:8620"
        self.socket = os.path.join(self.dir, "c.sock")
        self.conf = os.path.join(self.dir, "controller.conf")
        with open(mesh.conf, encoding="ascii") as f:
            text = f.read()
        text = text.replace(mesh.hub, self.hub).replace(mesh.socket, self.socket)
        text = text.replace(f'"{mesh.dir}/controller"', f'"{self.dir}"')
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(extra + text)
        done = run(prog("twmesh-controller"), "-c", self.conf, "--show-key")
        assert done.returncode == 0, done.stderr
        self.key = done.stdout.split()[-1]
        self.daemon = Daemon(name, [prog("twmesh-controller"), "-c", self.conf],
                             os.path.join(mesh.dir, name + ".log"))
        mesh.daemons.append(self.daemon)

    def start(self):
        self.daemon.start()
        m = self.daemon.wait_log(r"ready: .*?(http://127\.0\.0\.1:\d+/?)")
        self.url = m.group(1).rstrip("/")
        self.daemon.wait_log(r"database: there")
        return self

    def api(self, path, expect=200):
        return get_json(self.url + path, expect)

    def twmesh(self, *args, **kw):
        return run(prog("twmesh"), *args, env={"TWMESH_SOCKET": self.socket, "NO_COLOR": "1"}, **kw)

    def section(self):
        """For a node's configuration."""
        return f'controller "{self.name}" {{\n\taddress = "{self.hub}"\n\tkey = "{self.key}"\n}}\n'


DEMO_CLASS = """class "demo" {
    rate = 50
    schedule = "periodic"
    interval = "2s"
    loss_timeout = "1s"
    ship_spread = "0s"
}
"""


class Mesh:
    """PostgreSQL + controller + nodes. Use as a context manager."""

    interval_s = 2

    def __init__(self, names=(), trust="loopback", classes=DEMO_CLASS, conf=""):
        self.dir = tempfile.mkdtemp(prefix="twm", dir=TMP)
        os.chmod(self.dir, 0o755)
        self.block = Block()
        self.nodes = {}
        self.daemons = []
        self.procs_seen = []
        try:
            self._create(trust, classes, conf)
            for name in names:
                self.add(name)
        except BaseException:
            self.stop(check=False)
            raise

    def _create(self, trust, classes, conf):
        self.pg = Postgres(self.dir).start()
        self.pg.sql("CREATE DATABASE twmesh", db="postgres")
        self.hub = self.block.addr(254) + ":8620"
        self.socket = os.path.join(self.dir, "c.sock")
        self.conf = os.path.join(self.dir, "controller.conf")
        os.mkdir(os.path.join(self.dir, "controller"))
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f'database = "{self.pg.dsn()}"\nlisten = "{self.hub}"\n'
                    f'http = "127.0.0.1:0"\nsocket = "{self.socket}"\n'
                    f'state_dir = "{self.dir}/controller"\nweb_dir = "{ROOT}/web"\n'
                    f'sql_dir = "{ROOT}/sql"\ntrust_first_use = "{trust}"\n' + conf + classes)
        self.controller = Daemon("controller", [prog("twmesh-controller"), "-c", self.conf],
                                 os.path.join(self.dir, "controller.log"))
        done = run(prog("twmesh-controller"), "-c", self.conf, "--show-key")
        assert done.returncode == 0, done.stderr
        self.key = done.stdout.split()[-1]
        done = run(prog("twmesh-controller"), "-c", self.conf, "--migrate", timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start_controller()

    def start_controller(self):
        self.controller.start()
        m = self.controller.wait_log(r"ready: .*?(http://127\.0\.0\.1:\d+/?)")
        self.url = m.group(1).rstrip("/")
        self.controller.wait_log(r"database: there|database is away|database: away")

    def add(self, name, **kw):
        node = Node(self, name, len(self.nodes) + 1, **kw)
        self.nodes[name] = node
        return node.start()

    def __getitem__(self, name):
        return self.nodes[name]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.stop(check=kind is None)

    def approve(self, name):
        """Admits a node that knocks (trust="never")."""
        fp = self[name].fingerprint()
        wait_until(f"{name} is pending", lambda: any(
            p["fingerprint"] == fp for p in self.api("/api/v1/nodes")["pending"]), 20 * SLOW)
        done = self.twmesh("node", "approve", fp, name)
        assert done.returncode == 0, done.stderr

    def section(self):
        """For a node's configuration: this mesh's controller."""
        return f'controller "c1" {{\n\taddress = "{self.hub}"\n\tkey = "{self.key}"\n}}\n'

    # --- asking

    def sql(self, query, args=None):
        return self.pg.sql(query, args)

    def cells(self, where="true"):
        """{(src, dst): row as dict} of path_matrix."""
        rows = self.sql("SELECT row_to_json(m)::text FROM twmesh.path_matrix m WHERE " + where)
        rows = [json.loads(r[0]) for r in rows]
        return {(r["src"], r["dst"]): r for r in rows}

    def api(self, path, expect=200):
        """A JSON document of the HTTP listener."""
        return get_json(self.url + path, expect)

    def twmesh(self, *args, **kw):
        """The command, talking to this mesh's admin socket."""
        return run(prog("twmesh"), *args, env={"TWMESH_SOCKET": self.socket, "NO_COLOR": "1"}, **kw)

    def full(self):
        """All planned pairs measured and ok?"""
        n = len(self.nodes)
        cells = self.cells()
        good = [c for c in cells.values() if c["state"] == "ok" and c["measured_at"]]
        return len(cells) == n * (n - 1) and len(good) == len(cells)

    def wait_full(self, timeout=30):
        wait_until("every cell of the matrix is ok", self.full, timeout * SLOW)
        return self

    def wait_healthy(self, timeout=15):
        """The web thread has its database again: it connects by itself, so
        possibly later than the writer."""
        wait_until("/healthz is 200", lambda: self.api("/healthz", expect=None)["ok"], timeout)

    # --- ending

    def all_daemons(self):
        out = [d for n in self.nodes.values() for d in (n.meshd, n.reflector)]
        if hasattr(self, "controller"):
            out.append(self.controller)
        return out + [d for d in self.daemons if d.proc]

    def reports(self):
        """Sanitizer findings and broken invariants in any daemon's log."""
        found = []
        for d in self.all_daemons():
            text = d.text(all_runs=True)
            m = REPORT.search(text)
            if m:
                found.append(f"{d.name}:\n{text[max(0, m.start() - 200):m.start() + 4000]}")
        return found

    def log_tails(self, lines=25):
        out = []
        for path in sorted(glob.glob(self.dir + "/*.log")):
            with open(path, "rb") as f:
                text = f.read().decode(errors="replace").splitlines()[-lines:]
            out.append(f"--- {os.path.basename(path)}\n" + "\n".join(text))
        return "\n".join(out)

    def stop(self, check=True):
        faults = []
        try:
            for d in self.all_daemons():
                d.send(signal.SIGTERM)
            for d in self.all_daemons():
                try:
                    d.stop()
                except AssertionError as e:
                    faults.append(str(e))
            faults += self.reports()
            if check and not faults:
                faults += [f"{d.name} exited with {d.proc.returncode}:\n{d.text()[-2000:]}"
                           for d in self.all_daemons()
                           if d.proc and d.proc.returncode not in (0, -signal.SIGKILL)]
        finally:
            if hasattr(self, "pg"):
                with contextlib.suppress(AssertionError):
                    self.pg.daemon.stop(signal.SIGINT, 30)
            if faults or not check:
                print(self.log_tails())
            self.block.release()
            shutil.rmtree(self.dir, ignore_errors=True)
        if check or any(REPORT.search(f) for f in faults):
            assert not faults, "\n".join(faults)

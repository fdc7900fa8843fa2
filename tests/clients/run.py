#!/usr/bin/env python3
"""Runs the checks of one official client, in the client's own language, against a server on free ports.

    run.py go --mortised build/release/bin/mortised --work build/release/clients

The client is a program that gets the server's address, prints a line for each check and ends with 0 if all hold.
It says "restart" or "kill" when it wants the server to be stopped in order, or killed, and started again on the same
address; it gets the line "restarted" when that is done. --server gives another server, such as an etcd, to compare.

Where the tool chain is missing, or its packages cannot be fetched, this prints why and exits with 77.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from ports import free_ports  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
START_S = 60
CLIENT_S = 180
FETCH_S = 600


class Skip(Exception):
    pass


class Failure(Exception):
    pass


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"no {program}")


def fetch(command, what, **arguments):
    """A command that asks a package registry; if it fails, the packages are not to be had."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=FETCH_S, **arguments)
    except subprocess.TimeoutExpired:
        raise Skip(f"{what}: no answer within {FETCH_S} s") from None
    if done.returncode != 0:
        print(done.stdout[-4000:])
        raise Skip(f"{what}: {' '.join(map(str, command[:3]))} ended with {done.returncode}")


def build(command, **arguments):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=FETCH_S, **arguments)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command[:3]))} failed:\n{done.stdout}")


def installed(work, manifest, install):
    """Calls install() unless the work folder holds what this manifest asks for."""
    stamp = work / "installed"
    wanted = manifest.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    install()
    stamp.write_text(wanted, encoding="utf-8")


def prepare_go(work):
    """Go's clientv3. Modules and compiled packages go into Go's own caches."""
    need("go")
    environment = dict(os.environ, GOTOOLCHAIN="local", CGO_ENABLED="0")
    source, program = HERE / "go", work / "client"
    work.mkdir(parents=True, exist_ok=True)
    fetch(["go", "mod", "download"], "the modules of clientv3", cwd=source, env=environment)
    build(["go", "build", "-buildvcs=false", "-o", str(program), "."], cwd=source, env=environment)
    return [str(program)], {}


def prepare_python(work):
    if sys.version_info < (3, 10):
        raise Skip("no Python 3.10")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise Skip("no pip")
    requirements, packages = HERE / "python/requirements.txt", work / "packages"
    installed(work, requirements, lambda: fetch(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(packages), "-r", str(requirements)],
        "the packages of aetcd"))
    return [sys.executable, "-B", str(HERE / "python/client.py")], {"PYTHONPATH": str(packages)}


def prepare_java(work):
    need("mvn", "javac", "java")
    pom, jars, classes = HERE / "java/pom.xml", work / "jars", work / "classes"
    installed(work, pom, lambda: fetch(
        ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
        "the packages of jetcd"))
    sources = sorted(map(str, (HERE / "java").glob("*.java")))
    build(["javac", "-Xlint:all,-processing", "-Werror", "-cp", f"{jars}/*", "-d", str(classes), *sources])
    return ["java", "-XX:+UseSerialGC", "-cp", f"{classes}:{jars}/*", "Main"], {}


def prepare_node(work):
    need("node", "npm")
    manifest = HERE / "node/package.json"

    def install():
        shutil.copy(manifest, work)
        fetch(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"],
              "the packages of etcd3", cwd=work)
    installed(work, manifest, install)
    return ["node", str(HERE / "node/client.js")], {"NODE_PATH": str(work / "node_modules")}


PREPARE = {"go": prepare_go, "java": prepare_java, "node": prepare_node, "python": prepare_python}


class Server:
    """A server whose address stays over restarts."""

    def __init__(self, program, backend, folder):
        self.folder, self.process = pathlib.Path(folder), None
        self.port, peer = free_ports(2)
        client_url, peer_url = (f"http://127.0.0.1:{port}" for port in (self.port, peer))
        self.command = [program, "--data-dir", str(self.folder / "data"),
                        "--listen-client-urls", client_url, "--advertise-client-urls", client_url,
                        "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
                        "--initial-cluster", "default=" + peer_url] + (["--backend", backend] if backend else [])
        self.log = self.folder / "server.log"

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD", "MORTISE_"))}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, cwd=self.folder, env=environment)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"the server ended with {self.process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failure(f"the server does not listen after {START_S} s")

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(timeout=START_S)
        # etcd ends by the signal that it was sent.
        if code not in (0, -number):
            raise Failure(f"the server ended with {code}")

    def check_alive(self):
        if self.process.poll() is not None:
            raise Failure(f"the server ended with {self.process.returncode}")

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def converse(client, server):
    """Reads what the client prints, and restarts the server when it asks for that. How many checks passed."""
    passed = 0
    for line in client.stdout:
        line = line.rstrip("\n")
        if line in ("restart", "kill"):
            server.check_alive()
            server.end(signal.SIGKILL if line == "kill" else signal.SIGTERM)
            server.start()
            client.stdin.write("restarted\n")
            client.stdin.flush()
            continue
        print("  " + line, flush=True)
        passed += bool(re.match(r"pass ", line))
    return passed


def client_environment(added):
    """Without proxies, which some clients would ask for the loopback address, too."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith("ETCD")}
    return dict(kept, **added)


def run_client(command, environment, server):
    client = subprocess.Popen(command + [f"127.0.0.1:{server.port}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", cwd=server.folder,
                              env=client_environment(environment))
    timer = threading.Timer(CLIENT_S, client.kill)
    timer.start()
    try:
        passed = converse(client, server)
        code = client.wait()
    finally:
        timed_out = timer.finished.is_set()
        timer.cancel()
        if client.poll() is None:
            client.kill()
            client.wait()
    if timed_out:
        raise Failure(f"the client did not end within {CLIENT_S} s")
    if code != 0:
        raise Failure(f"the client ended with {code}")
    if passed == 0:
        raise Failure("the client checked nothing")
    return passed


def run(command, environment, program, backend):
    folder = tempfile.mkdtemp(prefix="mortise-clients-")
    try:
        server = Server(program, backend, folder)
        try:
            server.start()
            passed = run_client(command, environment, server)
            server.check_alive()
            server.end()
        except (Failure, subprocess.TimeoutExpired):
            if server.log.exists():
                print("end of the server's log:\n" + server.log.read_text(errors="replace")[-4000:])
            raise
        finally:
            server.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return passed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("language", choices=sorted(PREPARE))
    parser.add_argument("--mortised", help="the server")
    parser.add_argument("--backends", nargs="+", default=["rocksdb"])
    parser.add_argument("--server", help="another server with etcd's flags instead")
    parser.add_argument("--work", required=True, help="folder for what is built and downloaded")
    arguments = parser.parse_args()
    program = arguments.server or arguments.mortised
    if not program:
        parser.error("--mortised or --server is needed")
    try:
        command, environment = PREPARE[arguments.language](
            pathlib.Path(arguments.work).resolve() / arguments.language)
        for backend in [None] if arguments.server else arguments.backends:
            started = time.monotonic()
            print(f"{arguments.language} on {backend or program}:", flush=True)
            passed = run(command, environment, os.path.abspath(program), backend)
            print(f"{passed} checks passed in {time.monotonic() - started:.1f} s", flush=True)
    except Skip as e:
        print(f"skipped: {e}")
        sys.exit(SKIPPED)
    except (Failure, subprocess.TimeoutExpired) as e:
        print(f"failed: {e}")
        sys.exit(1)


if __name__ == "__main__":
    main()

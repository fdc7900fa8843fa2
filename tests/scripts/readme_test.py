#!/usr/bin/env python3
"""Runs the README's first session against a server on free ports and compares what it prints.

The ```console blocks under "A first session" are one shell session: a line that begins with "$ " is typed, those
below it are what must come. In them "…" stands for anything within the line. A watch goes on until it has printed
what the README shows, and is ended then.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from ports import free_ports  # noqa: E402

DEADLINE_S = 60
MARK = "-- end of a command --"


def session(readme):
    """[(command, [expected lines])] in order."""
    part = re.search(r"^## A first session\n(.*?)^## ", readme, re.S | re.M)
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```", part[1] if part else "", re.S | re.M):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif steps:
                steps[-1][1].append(line)
    return steps


def matches(expected, lines):
    if len(expected) != len(lines):
        return False
    for want, got in zip(expected, lines):
        if not re.fullmatch(".*".join(map(re.escape, want.split("…"))), got):
            return False
    return True


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {DEADLINE_S} s")
        time.sleep(0.05)


class Shell:
    """A bash that stays, so that variables and exports do."""

    def __init__(self, environment, folder):
        self.environment, self.folder = environment, folder
        self.process = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, env=environment, cwd=folder, text=True)

    def run(self, command):
        self.process.stdin.write(f"{command}\nprintf '%s\\n' '{MARK}'\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.rstrip("\n") == MARK:
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended in: {command}")

    def watch(self, command, expected):
        """Runs until as many lines as expected are there. The session's environment counts, its variables don't."""
        output = pathlib.Path(self.folder) / "watch.out"
        with output.open("w") as file:
            process = subprocess.Popen(["bash", "-c", "export ETCDCTL_API=3; exec " + command], stdout=file,
                                       stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                       env=self.environment, cwd=self.folder)
        try:
            wait_for(lambda: process.poll() is not None or
                     output.read_text().count("\n") >= len(expected), command)
        finally:
            process.terminate()
            process.wait()
        return output.read_text().splitlines()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def start_server(program, backend, folder):
    client, peer = free_ports(2)
    urls = [f"http://127.0.0.1:{port}" for port in (client, peer)]
    log = open(os.path.join(folder, "server.log"), "w")
    server = subprocess.Popen(
        [program, "--data-dir", os.path.join(folder, "data"),
         "--listen-client-urls", urls[0], "--advertise-client-urls", urls[0],
         "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1],
         "--initial-cluster", "default=" + urls[1]] + (["--backend", backend] if backend else []),
        stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    log.close()
    return server, client


def ready(server, environment):
    def answers():
        if server.poll() is not None:
            raise AssertionError(f"the server ended with {server.returncode}")
        return subprocess.run(["etcdctl", "get", "x"], env=environment, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL).returncode == 0
    wait_for(answers, "the server's first answer")


def run(arguments, folder):
    steps = session(pathlib.Path(arguments.readme).read_text(encoding="utf-8"))
    if len(steps) < 10:
        raise AssertionError("the README has no first session")
    server, port = start_server(arguments.mortised, arguments.backend, folder)
    try:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD", "MORTISE_"))}
        environment["ETCDCTL_ENDPOINTS"] = f"127.0.0.1:{port}"
        ready(server, dict(environment, ETCDCTL_API="3"))
        shell = Shell(environment, folder)
        for command, expected in steps:
            if command.startswith("etcdctl watch "):
                lines = shell.watch(command, expected)
            else:
                lines = shell.run(command)
            if not matches(expected, lines):
                raise AssertionError("$ {}\nprinted\n{}\nbut the README says\n{}".format(
                    command, "\n".join(lines), "\n".join(expected)))
        shell.close()
    except AssertionError:
        print(pathlib.Path(folder, "server.log").read_text(errors="replace")[-4000:])
        raise
    finally:
        server.terminate()
        server.wait(timeout=DEADLINE_S)
    print(f"{len(steps)} commands of the README's session do what it says")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mortised", required=True)
    parser.add_argument("--readme", required=True)
    parser.add_argument("--backend", help="the server's default if not given")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="mortise-readme-")
    try:
        run(arguments, folder)
    except AssertionError as e:
        print(e)
        sys.exit(1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


main()

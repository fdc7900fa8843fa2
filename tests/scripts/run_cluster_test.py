#!/usr/bin/env python3
"""scripts/run --cluster: three members serve as one, their lines carry their names, one that dies is reported and the
others go on, Ctrl-C stops all."""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from ports import free_ports  # noqa: E402

RUNNER = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/lib/cluster.py"
DEADLINE_S = 60
program = None

# A member that only says that it runs.
FAKE = """#!/bin/bash
trap 'echo stopping; exit 0' TERM
echo "pid $$ data $4 cluster ${@: -2:1} ${@: -1}"
while :; do sleep 0.05; done
"""


class Runner:
    def __init__(self, folder, member_program, ports, *flags):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("ETCD", "MORTISE_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(RUNNER), "--program", str(member_program), "--members", "3",
             "--ports", ",".join(map(str, ports)), "--", *flags],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env=environment)
        self.output = ""
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {DEADLINE_S} s\n{self.output[-6000:]}")
            time.sleep(0.05)

    def wait_line(self, pattern):
        self.wait_for(lambda: re.search(pattern, self.output, re.M), pattern)
        return re.search(pattern, self.output, re.M)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=DEADLINE_S)
        self.thread.join()
        self.process.stdout.close()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.thread.join()
        self.process.stdout.close()


class RunClusterTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mortise-run-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.fake = self.folder / "fake"
        self.fake.write_text(FAKE)
        self.fake.chmod(0o755)

    def start(self, member_program, ports, *flags):
        runner = Runner(self.folder, member_program, ports, *flags)
        self.addCleanup(runner.close)
        return runner

    def test_all_stop(self):
        runner = self.start(self.fake, [1, 2, 3, 4, 5, 6], "--backend=lmdb")
        members = "m1=http://127.0.0.1:2,m2=http://127.0.0.1:4,m3=http://127.0.0.1:6"
        for name in ("m1", "m2", "m3"):
            runner.wait_line(rf"^{name} \| pid \d+ data {name}.etcd cluster {members} --backend=lmdb$")
        self.assertIn("--endpoints=127.0.0.1:1,127.0.0.1:3,127.0.0.1:5", runner.output)
        self.assertEqual(runner.interrupt(), 0)
        for name in ("m1", "m2", "m3"):
            self.assertRegex(runner.output, rf"(?m)^{name} \| stopping$")

    def test_a_dead_member_is_reported(self):
        runner = self.start(self.fake, [1, 2, 3, 4, 5, 6])
        for name in ("m1", "m3"):
            runner.wait_line(rf"^{name} \| pid")
        os.kill(int(runner.wait_line(r"^m2 \| pid (\d+)")[1]), signal.SIGKILL)
        runner.wait_line(r"^m2 \| --- m2 was ended by SIGKILL; 2 of 3 go on ---$")
        self.assertIsNone(runner.process.poll())
        self.assertEqual(runner.interrupt(), 1)
        self.assertNotIn("m2 | stopping", runner.output)

    def test_all_dead(self):
        runner = self.start("/bin/false", [1, 2, 3, 4, 5, 6])
        self.assertEqual(runner.process.wait(timeout=DEADLINE_S), 1)
        self.assertRegex(runner.output, r"exited with 1; none is left ---")

    def test_what_is_refused(self):
        for arguments, wanted in ((["--members", "nine"], "from 1 to 5"), (["--members", "0"], "from 1 to 5"),
                                  (["--members", "3", "--", "--data-dir=x"], "--data-dir is each member's own"),
                                  (["--members", "3", "--", "--name", "x"], "--name is each member's own")):
            done = subprocess.run([sys.executable, "-B", str(RUNNER), "--program", "x", *arguments],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S)
            self.assertEqual(done.returncode, 1)
            self.assertIn(wanted, done.stdout)

    def test_members_serve(self):
        if not program or not shutil.which("etcdctl"):
            self.skipTest("no server or no etcdctl")
        ports = free_ports(6)
        endpoints = ",".join(f"127.0.0.1:{port}" for port in ports[::2])
        runner = self.start(program, ports)

        def etcdctl(*arguments):
            return subprocess.run(["etcdctl", "--endpoints", endpoints, *arguments], text=True,
                                  env=dict(os.environ, ETCDCTL_API="3"), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S)
        runner.wait_for(lambda: etcdctl("put", "k", "v").returncode == 0, "the first put")
        members = etcdctl("member", "list").stdout
        for name in ("m1", "m2", "m3"):
            self.assertIn(f"started, {name}, ", members)
            self.assertTrue((self.folder / f"{name}.etcd").is_dir())
            self.assertRegex(runner.output, rf"(?m)^{name} \| .")
        health = etcdctl("endpoint", "health")
        self.assertEqual((health.returncode, health.stdout.count("is healthy")), (0, 3), health.stdout)
        self.assertEqual(runner.interrupt(), 0, runner.output[-6000:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mortised")
    options, rest = parser.parse_known_args()
    program = options.mortised and os.path.abspath(options.mortised)
    unittest.main(argv=[sys.argv[0], *rest])

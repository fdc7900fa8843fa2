#!/usr/bin/env python3
"""Runs the members of a cluster on 127.0.0.1 in one terminal, for scripts/run --cluster.

    cluster.py --program build/release/bin/mortised --members 3 [-- FLAGS OF EVERY MEMBER]

Members are m1, m2, ...; m1 has the ports 2379 for clients and 2380 for peers, m2 22379 and 22380, m3 32379 and 32380,
and so on. The data of each is in NAME.etcd in the working directory. Lines of the log begin with the member's name. A
member that ends is reported, and the others go on; Ctrl-C (or SIGTERM) stops all in order. The exit code is 0 if all
ended in order then.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading

MEMBERS_MAX = 5
STOP_S = 60
# What the members cannot have in common, or is set here.
OWN_FLAGS = ("name", "data-dir", "wal-dir", "listen-client-urls", "advertise-client-urls", "listen-peer-urls",
             "initial-advertise-peer-urls", "initial-cluster", "config-file", "listen-metrics-urls",
             "listen-client-http-urls", "discovery", "discovery-srv", "discovery-endpoints", "discovery-token")

output_lock = threading.Lock()


def say(name, line):
    with output_lock:
        sys.stdout.write(f"{name} | {line}\n")
        sys.stdout.flush()


class Member:
    def __init__(self, name, client_port, peer_port):
        self.name = name
        self.client_url, self.peer_url = (f"http://127.0.0.1:{port}" for port in (client_port, peer_port))
        self.process, self.thread = None, None

    def start(self, program, members, flags):
        # Members do not outlive this program, however it ends.
        command = ["setpriv", "--pdeathsig", "TERM", "--",
                   program, "--name", self.name, "--data-dir", self.name + ".etcd",
                   "--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url,
                   "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
                   "--initial-cluster", ",".join(f"{m.name}={m.peer_url}" for m in members), *flags]
        # A group of its own: Ctrl-C in the terminal reaches this program alone, which then stops the members once.
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace",
                                        start_new_session=True)

    def follow(self, ended):
        def run():
            for line in self.process.stdout:
                say(self.name, line.rstrip("\n"))
            self.process.wait()
            ended(self)
        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def how_it_ended(self):
        code = self.process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"


class Cluster:
    def __init__(self, members):
        self.members = members
        self.lock = threading.Lock()
        self.left = len(members)
        self.stopping = False
        self.failed = False
        self.wake = threading.Event()

    def ended(self, member):
        with self.lock:
            self.left -= 1
            left, stopping = self.left, self.stopping
            in_order = member.process.returncode in (0, -signal.SIGTERM)
            if not stopping or not in_order:
                self.failed = True
        if not stopping:
            rest = f"{left} of {len(self.members)} go on" if left else "none is left"
            say(member.name, f"--- {member.name} {member.how_it_ended()}; {rest} ---")
        if left == 0:
            self.wake.set()

    def stop(self, *_):
        self.stopping = True
        self.wake.set()

    def run(self, program, flags):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.stop)
        try:
            for member in self.members:
                member.start(program, self.members, flags)
                member.follow(self.ended)
            # With a bound, so that signals are seen to.
            while not self.wake.wait(0.2):
                pass
        finally:
            self.stopping = True
            self.end_all()
        return 1 if self.failed else 0

    def end_all(self):
        started = [m for m in self.members if m.thread]
        for member in started:
            if member.process.poll() is None:
                member.process.send_signal(signal.SIGTERM)
        for member in started:
            try:
                member.process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                say(member.name, f"--- {member.name} did not stop within {STOP_S} s and is killed ---")
                member.process.kill()
            member.thread.join()


def default_ports(members):
    ports = []
    for i in range(members):
        base = 2379 if i == 0 else 10000 * (i + 1) + 2379
        ports += [base, base + 1]
    return ports


def check_flags(flags):
    for flag in flags:
        name = flag.lstrip("-").split("=")[0]
        if flag.startswith("-") and name in OWN_FLAGS:
            sys.exit(f"--{name} is each member's own and set by --cluster")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--members", required=True)
    parser.add_argument("--ports", help="a client and a peer port for each member, with commas")
    parser.add_argument("flags", nargs="*")
    arguments = parser.parse_args()
    if not arguments.members.isdigit() or not 1 <= int(arguments.members) <= MEMBERS_MAX:
        sys.exit(f"--cluster takes a number of members from 1 to {MEMBERS_MAX}")
    count = int(arguments.members)
    ports = [int(p) for p in arguments.ports.split(",")] if arguments.ports else default_ports(count)
    if len(ports) != 2 * count:
        sys.exit("--ports needs two ports for each member")
    check_flags(arguments.flags)
    # What one member would take from the environment is no name or place for three.
    for name in OWN_FLAGS:
        os.environ.pop("ETCD_" + name.replace("-", "_").upper(), None)
    members = [Member(f"m{i + 1}", ports[2 * i], ports[2 * i + 1]) for i in range(count)]
    say("--", "clients: --endpoints=" + ",".join(m.client_url.removeprefix("http://") for m in members))
    sys.exit(Cluster(members).run(arguments.program, arguments.flags))


if __name__ == "__main__":
    main()

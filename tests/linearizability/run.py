#!/usr/bin/env python3
"""Takes a history of clients of a cluster under faults, and checks that it is linearizable.

    MORTISE_BUILD_DIR=build/release run.py --targets mixed --rounds 3 --recorder build/release/tests/mortise-history \
        --work build/release/linearizability

--targets is "mixed", "etcd", or a list of backends and of an etcd's paths. The checker is porcupine; where Go is
missing, or the package cannot be fetched, this prints why and exits with 77. Of a failure the history stays in the
work folder, with a picture of it.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
FETCH_S = 600


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def build_checker(work):
    if not shutil.which("go"):
        skip("no go")
    source, program = HERE / "checker", work / "checker"
    environment = dict(os.environ, GOTOOLCHAIN="local", CGO_ENABLED="0")
    try:
        done = subprocess.run(["go", "mod", "download"], cwd=source, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=FETCH_S)
    except subprocess.TimeoutExpired:
        skip(f"porcupine is not fetched within {FETCH_S} s")
    if done.returncode != 0:
        print(done.stdout[-4000:])
        skip("porcupine cannot be fetched")
    for command in (["go", "test", "-count=1", "."], ["go", "build", "-buildvcs=false", "-o", str(program), "."]):
        subprocess.run(command, cwd=source, env=environment, stdin=subprocess.DEVNULL, timeout=FETCH_S, check=True)
    return program


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--targets", default="mixed")
    parser.add_argument("--rounds", default="3")
    parser.add_argument("--seed")
    parser.add_argument("--recorder", help="the program that takes histories")
    parser.add_argument("--checker-only", action="store_true", help="build the checker and run its own tests")
    parser.add_argument("--work", required=True)
    arguments = parser.parse_args()
    name = re.sub(r"\W", "_", arguments.targets)
    work = pathlib.Path(arguments.work).resolve() / name
    work.mkdir(parents=True, exist_ok=True)
    checker = build_checker(work)
    if arguments.checker_only:
        return
    if not arguments.recorder:
        parser.error("--recorder is needed")
    history, picture = work / "history.jsonl", work / "history.html"
    for path in (history, picture):
        path.unlink(missing_ok=True)
    command = [arguments.recorder, "--targets", arguments.targets, "--rounds", arguments.rounds,
               "--output", str(history)] + (["--seed", arguments.seed] if arguments.seed else [])
    recorded = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if recorded != 0:
        sys.exit(recorded)
    checked = subprocess.run([str(checker), str(history), str(picture)], stdin=subprocess.DEVNULL).returncode
    if checked == 0:
        history.unlink()
    sys.exit(checked)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Builds the example as a third party would, outside of the tree, and checks the result."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser()
    for name in ('cmake', 'source', 'headers', 'check'):
        parser.add_argument('--' + name, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source = os.path.join(place, 'source')
        shutil.copytree(args.source, source)
        build = os.path.join(place, 'build')
        steps = [[args.cmake, '-S', source, '-B', build, '-DMORTISE_SDK_DIR=' + args.headers],
                 [args.cmake, '--build', build],
                 [args.check, os.path.join(build, 'plugins/backend_memory.so'), '--dir', place,
                  '--filter', 'order']]
        for step in steps:
            if subprocess.run(step).returncode != 0:
                return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
"""Compiles every ABI header alone, as C11, C17 and C++20, without a warning."""
import argparse
import os
import subprocess
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--headers', required=True)
    parser.add_argument('--cc', required=True)
    parser.add_argument('--cxx', required=True)
    args = parser.parse_args()
    bad = 0
    names = sorted(n for n in os.listdir(os.path.join(args.headers, 'mortise/abi')) if n.endswith('.h'))
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            for compiler, standard, suffix in ((args.cc, 'c11', 'c'), (args.cc, 'c17', 'c'),
                                               (args.cxx, 'c++20', 'cc')):
                source = os.path.join(place, 'alone.' + suffix)
                with open(source, 'w') as f:
                    f.write(f'#include "mortise/abi/{name}"\ntypedef int not_empty;\n')
                command = [compiler, '-std=' + standard, '-pedantic', '-Wall', '-Wextra', '-Werror',
                           '-fsyntax-only', '-I', args.headers, source]
                if subprocess.run(command).returncode != 0:
                    print(f'{name} does not compile alone as {standard}')
                    bad += 1
    print(f'{len(names)} headers, {bad} failures')
    return 1 if bad or not names else 0


if __name__ == '__main__':
    sys.exit(main())

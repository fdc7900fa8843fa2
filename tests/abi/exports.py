#!/usr/bin/env python3
"""Every shared object in a folder exports mortise_plugin and nothing else."""
import os
import subprocess
import sys


def main():
    folder = sys.argv[1]
    plugins = sorted(n for n in os.listdir(folder) if n.endswith('.so'))
    bad = 0
    for name in plugins:
        text = subprocess.run(['nm', '-D', '--defined-only', os.path.join(folder, name)], check=True,
                              capture_output=True, text=True).stdout
        symbols = {line.split()[-1].split('@')[0] for line in text.splitlines()}
        # AddressSanitizer adds a marker for each exported object.
        symbols = {s for s in symbols if not s.startswith('__odr_asan')}
        if symbols != {'mortise_plugin'}:
            bad += 1
            listed = ', '.join(sorted(symbols)[:10]) or 'nothing'
            print(f'{name}: wanted mortise_plugin alone, found {len(symbols)}: {listed}')
    print(f'{len(plugins)} plugins, {bad} failures')
    return 1 if bad or not plugins else 0


if __name__ == '__main__':
    sys.exit(main())

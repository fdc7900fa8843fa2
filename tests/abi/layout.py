#!/usr/bin/env python3
"""Compares size, offset, declaration and value of all that the ABI has with sdk/abi_golden.

A small reader of the headers finds the names; a program made of them prints what the compiler makes of
them. --rewrite updates the golden files, which is a deliberate change of the ABI.
"""
import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile


def strip(text):
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    return re.sub(r'//[^\n]*', ' ', text)


def struct_bodies(text):
    """Yields (name, body) of each struct definition."""
    for match in re.finditer(r'struct\s+(\w+)\s*\{', text):
        depth, at = 1, match.end()
        while depth:
            depth += {'{': 1, '}': -1}.get(text[at], 0)
            at += 1
        yield match.group(1), text[match.end():at - 1]


def members(body):
    for statement in body.split(';'):
        statement = ' '.join(statement.split()).replace('( ', '(')
        if not statement:
            continue
        pointer = re.search(r'\(\s*(?:MORTISE_ABI)?\s*\*\s*(\w+)\s*\)', statement)
        declared = pointer or re.search(r'(\w+)\s*(\[[^\]]*\])?$', statement)
        yield declared.group(1), statement


def read_header(path):
    raw = open(path).read()
    text = strip(raw)
    out = []
    for line in re.findall(r'^#define\s+(\w+)\s+(\S.*)$', text, flags=re.M):
        name, value = line
        if name.endswith('_H_') or name in ('MORTISE_ABI', 'MORTISE_EXPORT'):
            continue
        out.append(('string' if value.startswith('"') else 'constant', name))
    for body in re.findall(r'\benum\s*\{(.*?)\}', text, flags=re.S):
        for item in body.split(','):
            if item.strip():
                out.append(('constant', item.split('=')[0].strip()))
    for name in re.findall(r'typedef\s+int32_t\s+(\w+)\s*;', text):
        out.append(('type', name))
    for name, body in struct_bodies(text):
        out.append(('struct', name))
        out += [('member', f'{name}.{m}: {declaration}') for m, declaration in members(body)]
    for declaration in re.findall(r'typedef\s+([^;{}]*\(\s*(?:MORTISE_ABI)?\s*\*[^;{}]*);', text):
        out.append(('function', ' '.join(declaration.split()).replace('( ', '(')))
    return out


def program(header, items):
    lines = ['#include <stddef.h>', '#include <stdio.h>', f'#include "mortise/abi/{header}"',
             'int main(void) {']
    for kind, name in items:
        if kind == 'string':
            lines.append(f'printf("string {name} %s\\n", {name});')
        elif kind == 'function':
            lines.append(f'printf("function {name}\\n");')
        elif kind == 'constant':
            lines.append(f'printf("constant {name} %lld\\n", (long long)({name}));')
        elif kind == 'member':
            path, declaration = name.split(': ', 1)
            owner, member = path.split('.')
            lines.append(f'printf("  {member} offset %zu size %zu: {declaration}\\n", '
                         f'offsetof(struct {owner}, {member}), sizeof(((struct {owner}*)0)->{member}));')
        else:
            typed = ('struct ' if kind == 'struct' else '') + name
            lines.append(f'printf("{kind} {name} size %zu align %zu\\n", '
                         f'sizeof({typed}), _Alignof({typed}));')
    return '\n'.join(lines + ['return 0;', '}', ''])


def layout(compiler, headers, header):
    items = read_header(os.path.join(headers, 'mortise/abi', header))
    with tempfile.TemporaryDirectory() as place:
        source = os.path.join(place, 'layout.c')
        with open(source, 'w') as f:
            f.write(program(header, items))
        binary = os.path.join(place, 'layout')
        subprocess.run([compiler, '-std=c11', '-I', headers, source, '-o', binary], check=True)
        return subprocess.run([binary], check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--headers', required=True)
    parser.add_argument('--golden', required=True)
    parser.add_argument('--compiler', default='cc')
    parser.add_argument('--rewrite', action='store_true')
    args = parser.parse_args()
    names = sorted(n for n in os.listdir(os.path.join(args.headers, 'mortise/abi')) if n.endswith('.h'))
    wanted = {n[:-2] + '.txt': n for n in names}
    bad = 0
    for golden, header in wanted.items():
        found = layout(args.compiler, args.headers, header)
        path = os.path.join(args.golden, golden)
        if args.rewrite:
            with open(path, 'w') as f:
                f.write(found)
            continue
        if not os.path.exists(path):
            print(f'{path} is missing: a new header needs its golden file (--rewrite)')
            bad += 1
            continue
        known = open(path).read()
        if known != found:
            print(f'the ABI of {header} is not what {path} says:')
            sys.stdout.writelines(difflib.unified_diff(
                known.splitlines(True), found.splitlines(True), 'golden', 'compiled'))
            bad += 1
    for name in sorted(os.listdir(args.golden)):
        if name.endswith('.txt') and name not in wanted:
            print(f'{name}: its header is gone')
            bad += 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())

#!/usr/bin/env python3
"""Each check script passes on a small good tree, and names each fault that is put in."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"

GOOD = {
    "CMakeLists.txt": "foreach(folder host/a host/b plugins/p tests)\nendforeach()\n",
    "host/a/CMakeLists.txt": "mortise_host_library(a SOURCES a.cc)\n"
                             "mortise_test(a_test SOURCES a_test.cc DEPS mortise_host_a)\n",
    "host/a/a.h": "#pragma once\nint a();\n",
    "host/a/a.cc": '#include "host/a/a.h"\n\nint a() {\n  return 1;\n}\n',
    "host/a/a_test.cc": '#include "host/a/a.h"\n#include "gtest/gtest.h"\n',
    "host/b/CMakeLists.txt": "mortise_host_library(b SOURCES b.cc DEPS mortise_host_a)\n",
    "host/b/b.cc": '#include "host/a/a.h"\n#include "mortise/abi/base.h"\n',
    "plugins/p/CMakeLists.txt": "mortise_plugin(p SOURCES p.cc)\n",
    "plugins/p/p.cc": '#include "mortise/sdk/plugin.h"\n',
    "tests/CMakeLists.txt": "file(GLOB folders *)\n",
    "tests/t/CMakeLists.txt": "foreach(name x y)\n  add_library(${name} bad/${name}.c)\nendforeach()\n",
    "tests/t/bad/x.c": "\n",
    "tests/t/bad/y.c": "\n",
    "scripts/size-exceptions.txt": "# none\n",
}
LONG_FUNCTION = "int f(int x) {\n" + "  x += 1;\n" * 70 + "  return x;\n}\n"


class ChecksTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="mortise-checks-"))
        self.addCleanup(shutil.rmtree, self.root)
        (self.root / "scripts/lib").mkdir(parents=True)
        shutil.copy(SCRIPTS / "lib/tree.py", self.root / "scripts/lib")
        for check in SCRIPTS.glob("check-*"):
            shutil.copy(check, self.root / "scripts")
        for path, text in GOOD.items():
            self.write(path, text)

    def write(self, path, text):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def run_check(self, name):
        done = subprocess.run([sys.executable, "-B", str(self.root / "scripts" / ("check-" + name))],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.returncode, done.stdout

    def expect(self, name, *wanted):
        code, output = self.run_check(name)
        if not wanted:
            self.assertEqual((code, output), (0, ""))
            return
        self.assertEqual(code, 1, output)
        for text in wanted:
            self.assertIn(text, output)
        self.assertIn(f"check-{name}: {len(wanted)} problems", output)

    def test_good_tree(self):
        for name in ("layering", "tests", "sizes", "text"):
            with self.subTest(name):
                self.expect(name)

    def test_layering(self):
        self.write("host/a/a.cc", '#include "host/b/b.h"\n')
        self.write("plugins/p/p.cc", '#include "host/a/a.h"\n#include "plugins/q/q.h"\n')
        self.write("sdk/cpp/include/mortise/sdk/x.h", '#include "host/a/a.h"\n')
        self.expect("layering", "host/a/a.cc: may not include host/b/b.h",
                    "plugins/p/p.cc: may not include host/a/a.h",
                    "plugins/p/p.cc: may not include plugins/q/q.h",
                    "x.h: may not include host/a/a.h")

    def test_layering_through_another(self):
        self.write("host/c/CMakeLists.txt", "mortise_host_library(c SOURCES c.cc PRIVATE_DEPS mortise_host_b)\n")
        self.write("host/c/c.cc", '#include "host/a/a.h"\n#include "host/b/b.h"\n')
        self.expect("layering")

    def test_layering_of_a_test(self):
        self.write("host/a/a_test.cc", '#include "host/b/b.h"\n')
        self.expect("layering", "host/a/a_test.cc: may not include host/b/b.h")

    def test_layering_cycle(self):
        self.write("host/a/CMakeLists.txt", "mortise_host_library(a SOURCES a.cc DEPS mortise_host_b)\n")
        self.expect("layering", "mortise_host_a links itself", "mortise_host_b links itself")

    def test_forgotten_files(self):
        self.write("host/a/new_test.cc", "\n")
        self.write("tests/t/bad/z.c", "\n")
        self.write("loose/loose.cc", "\n")
        self.write("host/c/CMakeLists.txt", "mortise_host_library(c)\n")
        self.expect("tests", "host/a/new_test.cc: not named", "tests/t/bad/z.c: not named",
                    "loose/loose.cc: no CMakeLists.txt", "host/c: not added")

    def test_a_comment_names_nothing(self):
        self.write("host/a/CMakeLists.txt", "mortise_host_library(a SOURCES a.cc)\n# a_test.cc\n")
        self.expect("tests", "host/a/a_test.cc: not named")

    def test_sizes(self):
        self.write("host/a/a.cc", "// " + "x" * 98 + "\n" + LONG_FUNCTION)
        self.write("host/b/b.cc", "\n" * 600)
        self.expect("sizes", "host/a/a.cc:1: 101 columns", "host/a/a.cc:2: f: 73 lines",
                    "host/b/b.cc: 600 lines, the limit is 599")

    def test_size_exceptions(self):
        self.write("host/a/a.cc", LONG_FUNCTION)
        self.write("scripts/size-exceptions.txt", "host/a/a.cc:f 80 one long table\n")
        self.expect("sizes")
        self.write("host/a/a.cc", "\n")
        self.expect("sizes", "host/a/a.cc:f needs no exception")

    def test_braces_in_text_do_not_count(self):
        self.write("host/a/a.cc", 'int f() {\n  return "{{{"[0] + \'{\';  // {\n}\n' + "int x;\n" * 80)
        self.expect("sizes")

    def test_text(self):
        self.write("host/a/a.cc", '// TO' 'DO\nconst char* p = "/tm' 'p/x";\nint x; \n')
        self.write("docs/x.md", "see /wo" "rk/x\n")
        self.expect("text", "host/a/a.cc:1: TO" "DO", "host/a/a.cc:2: /tm" "p/x", "host/a/a.cc:3",
                    "docs/x.md:1: /wo" "rk/")


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""The Debian packages: made of the build tree, unpacked, looked at, and the server started from them."""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "lib"))
from ports import free_ports  # noqa: E402

ARGUMENTS = None
READY_SECONDS = 60


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options).stdout


class PackageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="mortise-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        # Strong compression takes most of the time, and is not what is tested.
        run("cpack", "-G", "DEB", "-B", cls.work / "out", "--config",
            pathlib.Path(ARGUMENTS.build).resolve() / "CPackConfig.cmake",
            "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip", cwd=cls.work)
        cls.packages = {p.name.split("_")[0]: p for p in (cls.work / "out").glob("*.deb")}
        cls.root = cls.work / "root"
        for package in cls.packages.values():
            run("dpkg-deb", "-x", package, cls.root)
        cls.control = cls.work / "control"
        run("dpkg-deb", "-e", cls.packages["mortise"], cls.control)

    def field(self, package, name):
        return run("dpkg-deb", "-f", self.packages[package], name).strip()

    def test_packages_and_what_they_depend_on(self):
        self.assertEqual(sorted(self.packages), ["mortise", "mortise-bench", "mortise-dev"])
        self.assertEqual(self.field("mortise", "Version"), ARGUMENTS.version + "-1")
        depends = self.field("mortise", "Depends")
        for library in ("adduser", "libc6 (", "librocksdb", "liblmdb0", "libnghttp2-14", "libprotobuf"):
            self.assertIn(library, depends)
        self.assertNotIn("libgrpc", depends)
        self.assertNotIn("-dev", depends)
        self.assertIn("mortise (= ", self.field("mortise-bench", "Depends"))
        self.assertEqual(self.field("mortise-dev", "Architecture"), "all")

    def test_files(self):
        for path in ("usr/bin/mortised", "usr/bin/mortise-plugin-check", "usr/bin/mortise-bench",
                     "usr/lib/mortise/libmortise_proto.so", "usr/lib/mortise/plugins/backend_rocksdb.so",
                     "usr/lib/mortise/plugins/backend_lmdb.so",
                     "usr/lib/mortise/plugins/watch_interval.so",
                     "usr/lib/mortise/plugins/transport_grpc.so",
                     "usr/lib/mortise/plugins/transport_http.so", "etc/mortise/mortise.yaml",
                     "lib/systemd/system/mortise.service", "usr/share/man/man1/mortised.1.gz",
                     "usr/share/man/man1/mortise-plugin-check.1.gz",
                     "usr/share/man/man1/mortise-bench.1.gz", "usr/share/man/man5/mortise.yaml.5.gz",
                     "usr/share/bash-completion/completions/mortised",
                     "usr/share/doc/mortise/copyright", "usr/share/doc/mortise/changelog.gz",
                     "usr/include/mortise/abi/plugin.h", "usr/include/mortise/sdk/plugin.h"):
            self.assertTrue((self.root / path).is_file(), path)
        for folder in ("usr/bin", "usr/lib/mortise/plugins"):
            known = re.compile(r"mortised?(-.*)?|(auth|backend|watch|transport)_\w+\.so")
            for path in (self.root / folder).iterdir():
                self.assertRegex(path.name, known)

    def test_modes_and_owners(self):
        for line in sum((run("dpkg-deb", "-c", p).splitlines() for p in self.packages.values()), []):
            mode, owner, _, _, _, path = line.split(maxsplit=5)
            self.assertEqual(owner, "root/root", line)
            executable = path.startswith("./usr/bin/") and not path.endswith("/")
            shared = path.endswith(".so")
            if mode.startswith("d") or executable:
                self.assertEqual(mode[1:], "rwxr-xr-x", line)
            elif not shared:
                self.assertEqual(mode[1:], "rw-r--r--", line)

    def test_programs_are_stripped_and_hold_no_path_of_the_build(self):
        build = os.path.realpath(ARGUMENTS.build).encode()
        for name in ("usr/bin/mortised", "usr/lib/mortise/plugins/backend_lmdb.so"):
            path = self.root / name
            self.assertNotIn(".debug_info", run("readelf", "-S", "-W", path), name)
            self.assertFalse(build in path.read_bytes(), f"{name} names the folder of its build")

    def test_control_files(self):
        self.assertEqual((self.control / "conffiles").read_text(), "/etc/mortise/mortise.yaml\n")
        for script in ("postinst", "prerm", "postrm"):
            path = self.control / script
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o755, script)
            run("sh", "-n", path)
        # What a script is told that it does not know is no error.
        for script in ("prerm", "postrm"):
            run("sh", self.control / script, "upgrade", "0.0.9-1")

    def test_unit(self):
        unit = (self.root / "lib/systemd/system/mortise.service").read_text()
        self.assertIn("Type=notify", unit)
        self.assertIn("ExecStart=/usr/bin/mortised --config-file=/etc/mortise/mortise.yaml", unit)
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed")
        # It wants the program where the unit says that it is.
        copy = self.work / "mortise.service"
        copy.write_text(unit.replace("/usr/bin/mortised", str(self.root / "usr/bin/mortised")))
        said = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT).stdout
        complaints = [line for line in said.splitlines() if "mortise.service" in line]
        self.assertEqual(complaints, [])

    def test_manual_pages(self):
        pages = list((self.root / "usr/share/man").glob("man?/*.gz"))
        self.assertEqual(len(pages), 4)
        flags = set(re.findall(r"^  (--[\w.-]+)", run(self.root / "usr/bin/mortised", "--help"), re.M))
        page = run("zcat", self.root / "usr/share/man/man1/mortised.1.gz").replace("\\-", "-")
        self.assertGreater(len(flags), 100)
        for flag in flags:
            self.assertIn(f"\\fB{flag}\\fR", page)
        if shutil.which("groff") is None:
            return
        for path in pages:
            text = subprocess.run(["zcat", str(path)], check=True, stdout=subprocess.PIPE).stdout
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=text,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual((done.returncode, done.stdout), (0, b""), path.name)

    def test_completion(self):
        script = self.root / "usr/share/bash-completion/completions/mortised"
        words = run("bash", "-c", f'. {script}; COMP_WORDS=(mortised --listen-cl); COMP_CWORD=1; '
                                  '_mortised; echo "${COMPREPLY[*]}"')
        self.assertEqual(words, "--listen-client-urls --listen-client-http-urls\n")

    def test_server_starts_with_the_packaged_configuration(self):
        client, peer = free_ports(2)
        text = (self.root / "etc/mortise/mortise.yaml").read_text()
        text = text.replace("/var/lib/mortise", str(self.work / "data"))
        text = text.replace(":2379", f":{client}").replace(":2380", f":{peer}")
        config = self.work / "mortise.yaml"
        config.write_text(text)
        environment = {k: v for k, v in os.environ.items()
                       if not k.startswith(("ETCD_", "MORTISE_", "LD_"))}
        server = subprocess.Popen([self.root / "usr/bin/mortised", f"--config-file={config}"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, env=environment, cwd=self.work)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        plugins, seen = [], []
        for line in server.stdout:
            seen.append(line)
            entry = json.loads(line)
            if entry["msg"] == "loaded plugin":
                plugins.append(entry["path"])
            if entry["msg"] == "ready to serve client requests":
                break
        else:
            self.fail("the server ended:\n" + "".join(seen))
        place = os.path.realpath(self.root / "usr/lib/mortise/plugins")
        self.assertGreaterEqual(len(plugins), 3)
        for path in plugins:
            self.assertEqual(os.path.dirname(os.path.realpath(path)), place)
        endpoint = f"--endpoints=127.0.0.1:{client}"
        if shutil.which("etcdctl"):
            api = dict(os.environ, ETCDCTL_API="3")
            self.assertEqual(run("etcdctl", endpoint, "put", "k", "v", env=api), "OK\n")
            self.assertEqual(run("etcdctl", endpoint, "get", "k", env=api), "k\nv\n")
        server.send_signal(signal.SIGTERM)
        server.stdout.read()
        self.assertEqual(server.wait(READY_SECONDS), -signal.SIGTERM)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--version", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0]] + rest)

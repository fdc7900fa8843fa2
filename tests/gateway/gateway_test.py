#!/usr/bin/env python3
"""The HTTP gateway's answers, byte for byte: those that etcd 3.7.1 gave to the same requests (answers.txt), those that an
etcd 3.4 gives now, and streams.

What 3.4's gateway does otherwise, so that the lines marked with "~" are not asked of it:
  - errors: {"error":...,"message":...,"code":...}, and 412 for FailedPrecondition (both mapped here);
  - wrong methods and paths: a line of plain text, 405 instead of 501;
  - no paths for hashkv, downgrade and auth/status; fewer fields of status; alarms without a header;
  - bodies: null, members of one oneof and a field twice are taken; unknown names of enums are refused; other words
    for what is wrong.
"""

import argparse
import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))
from ports import free_ports  # noqa: E402

ANSWERS = pathlib.Path(__file__).resolve().parent / "answers.txt"
START_S = 60
ANSWER_S = 30
arguments = None


class Node:
    """A server on free ports, ready to answer."""

    def __init__(self, program, *flags):
        self.folder = tempfile.mkdtemp(prefix="mortise-gateway-")
        self.port, peer = free_ports(2)
        client_url, peer_url = (f"http://127.0.0.1:{p}" for p in (self.port, peer))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        self.log = open(self.folder + "/log", "wb")
        self.process = subprocess.Popen(
            [program, "--name=node", "--data-dir=" + self.folder + "/data", "--listen-client-urls=" + client_url,
             "--advertise-client-urls=" + client_url, "--listen-peer-urls=" + peer_url,
             "--initial-advertise-peer-urls=" + peer_url, "--initial-cluster=node=" + peer_url, *flags],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment)
        deadline = time.monotonic() + START_S
        while not self.is_healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("no start: " + pathlib.Path(self.folder + "/log").read_text(errors="replace"))
            time.sleep(0.05)

    def is_healthy(self):
        try:
            return self.request("GET", "/health")[0] == 200
        except OSError:
            return False

    def exchange(self, method, path, body=b""):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def request(self, method, path, body=b""):
        status, _, answer = self.exchange(method, path, body)
        return status, answer.decode("utf-8")

    def post(self, path, body):
        return blur(self.request("POST", path, body.encode())[1])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Stream:
    """A POST whose body is sent piece by piece while the answer's lines are read."""

    def __init__(self, node, path):
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=ANSWER_S)
        self.socket.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        self.response = None

    def write(self, text):
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(text), text.encode()))

    def writes_done(self):
        self.socket.sendall(b"0\r\n\r\n")

    def line(self):
        if self.response is None:
            self.response = http.client.HTTPResponse(self.socket, method="POST")
            self.response.begin()
        return blur(self.response.readline().decode())

    def close(self):
        if self.response is not None:
            self.response.close()
        self.socket.close()


def blur(text):
    """Without what is different each time."""
    text = re.sub(r'"(cluster_id|member_id|raft_term|leader|raft(?:Index|Term|AppliedIndex)|dbSize|dbSizeInUse)":"\d+"',
                  r'"\1":"#"', text)
    text = re.sub(r'"members":\[.*\]', '"members":"#"', text)
    return re.sub(r'"TTL":"59\d"', '"TTL":"600"', text).rstrip("\n")


def recorded():
    """(line, method, path, body, answer)"""
    exchanges, line = [], None
    for text in ANSWERS.read_text().splitlines():
        if text.startswith((">", "~")):
            line = text
        elif text.startswith("<"):
            method, path, *body = line[2:].split(" ", 2)
            body = re.sub(rb"<([0-9a-f]{2})>", lambda m: bytes([int(m[1], 16)]), "".join(body).encode())
            exchanges.append((line, method, path, body, text[2:]))
    return exchanges


def modern(answer):
    """An error of 3.4 as 3.7 writes it."""
    error = re.fullmatch(r'(\d+) \{"error":".*","message":(".*"),"code":(\d+)\}', answer)
    if not error:
        return answer
    status = "400" if error[1] == "412" else error[1]
    return f'{status} {{"code":{error[3]},"message":{error[2]}}}'


def result(revision, rest):
    header = f'"cluster_id":"#","member_id":"#","revision":"{revision}","raft_term":"#"'
    return f'{{"result":{{"header":{{{header}}},{rest}}}}}'


PUT_2 = '"events":[{"kv":{"key":"dw==","create_revision":"2","mod_revision":"2","version":"1","value":"MQ=="}}]'


class Gateway(unittest.TestCase):
    def setUp(self):
        self.node = Node(arguments.mortised, "--backend=" + arguments.backend)
        self.addCleanup(self.node.stop)

    def stream(self, path):
        stream = Stream(self.node, path)
        self.addCleanup(stream.close)
        return stream

    def test_answers_are_those_of_etcd(self):
        exchanges = recorded()
        self.assertGreater(len(exchanges), 70)
        for line, method, path, body, wanted in exchanges:
            status, answer = self.node.request(method, path, body)
            with self.subTest(line):
                self.assertEqual(f"{status} {blur(answer)}", wanted)

    def test_headers_are_those_of_etcd(self):
        status, headers, _ = self.node.exchange("POST", "/v3/kv/put", b'{"key":"Zm9v"}')
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(headers["Grpc-Metadata-Content-Type"], "application/grpc")
        self.assertEqual(headers["Access-Control-Allow-Origin"], "*")
        status, headers, _ = self.node.exchange("POST", "/v3/kv/put", b"{}")
        self.assertEqual((status, headers["Content-Type"]), (400, "application/json"))

    def test_a_watch(self):
        watch = self.stream("/v3/watch")
        # Objects are taken as they come, whatever pieces they come in.
        watch.write('{"create_request":{"ke')
        watch.write('y":"dw=="}}')
        self.assertEqual(watch.line(), result(1, '"created":true'))
        self.assertEqual(watch.response.status, 200)
        self.node.post("/v3/kv/put", '{"key":"dw==","value":"MQ=="}')
        self.assertEqual(watch.line(), result(2, PUT_2))
        self.node.post("/v3/kv/deleterange", '{"key":"dw=="}')
        self.assertEqual(watch.line(), result(3, '"events":[{"type":"DELETE","kv":{"key":"dw==","mod_revision":"3"}}]'))
        watch.write('{"create_request":{"key":"dw==","watch_id":"5","start_revision":"2","filters":["NODELETE"]}} '
                    '{"cancel_request":{"watch_id":"0"}}')
        self.assertEqual(watch.line(), result(3, '"watch_id":"5","created":true'))
        self.assertEqual({watch.line(), watch.line()},
                         {result(3, '"watch_id":"5",' + PUT_2), result(3, '"canceled":true')})
        # The end of the body is not that of the stream.
        watch.writes_done()
        self.node.post("/v3/kv/put", '{"key":"dw==","value":"Mg=="}')
        self.assertIn('"watch_id":"5","events":[{"kv":{"key":"dw==","create_revision":"4"', watch.line())

    def test_a_watch_of_what_is_compacted(self):
        self.node.post("/v3/kv/put", '{"key":"dw=="}')
        self.node.post("/v3/kv/put", '{"key":"dw=="}')
        self.node.post("/v3/kv/compaction", '{"revision":"3"}')
        watch = self.stream("/v3/watch")
        watch.write('{"create_request":{"key":"dw==","start_revision":1}}')
        self.assertEqual(watch.line(), result(3, '"created":true'))
        self.assertEqual(watch.line(), '{"result":{"header":{"cluster_id":"#","member_id":"#","raft_term":"#"},'
                                       '"canceled":true,"compact_revision":"3"}}')

    def test_a_bad_request_ends_a_stream_with_an_error(self):
        # etcd says nothing there.
        watch = self.stream("/v3/watch")
        watch.write('{"create_request":{"key":"dw=="}}')
        self.assertEqual(watch.line(), result(1, '"created":true'))
        watch.write('{"create_request":{"key":1}}')
        self.assertEqual(watch.line(), '{"error":{"code":3,"message":"proto: (line 1:26): invalid value for bytes field '
                                       'key: 1"}}')
        self.assertEqual(watch.line(), "")
        self.assertEqual(self.node.request("POST", "/v3/watch", b"value="),
                         (400, '{"code":3,"message":"invalid character \'v\' looking for beginning of value"}'))

    def test_keep_alives_of_many_leases_in_one_body(self):
        self.node.post("/v3/lease/grant", '{"TTL":"600","ID":"9"}')
        known, unknown = result(1, '"ID":"9","TTL":"600"'), result(1, '"ID":"10"')
        self.assertEqual(self.node.post("/v3/lease/keepalive", '{"ID":"9"}\n{"ID":10}{"ID":"9"}'),
                         "\n".join((known, unknown, known)))

    def test_a_snapshot(self):
        value = "eHh4" * 100_000
        for i in range(10):
            self.node.post("/v3/kv/put", json.dumps({"key": base64.b64encode(b"%d" % i).decode(), "value": value}))
        _, answer = self.node.request("POST", "/v3/maintenance/snapshot", b"{}")
        pieces = [json.loads(line)["result"] for line in answer.splitlines()]
        blobs = [base64.b64decode(piece["blob"]) for piece in pieces]
        self.assertEqual({piece["version"] for piece in pieces}, {"3.7.0"})
        sizes = [int(piece.get("remaining_bytes", 0)) for piece in pieces]
        self.assertEqual(sizes, [sum(map(len, blobs[i + 1:-1])) for i in range(len(blobs) - 1)] + [0])
        # The last piece is the checksum of the file before it.
        self.assertEqual(blobs[-1], hashlib.sha256(b"".join(blobs[:-1])).digest())
        self.assertGreater(sum(map(len, blobs)), 3_000_000)

    def test_the_document_has_all_paths(self):
        document = json.loads(self.node.request("GET", "/openapi.json")[1])
        self.assertEqual(document["openapi"], "3.0.3")
        self.assertIn("/v3/kv/lease/revoke", document["paths"])
        for path in document["paths"]:
            with self.subTest(path):
                self.assertEqual(self.node.request("GET", path)[0], 501)


class Oracle(unittest.TestCase):
    def test_answers_are_those_of_etcd_34_where_its_format_is_the_same(self):
        if not os.path.exists(arguments.etcd):
            self.skipTest("no " + arguments.etcd)
        node = Node(arguments.etcd)
        self.addCleanup(node.stop)
        for line, method, path, body, wanted in recorded():
            status, answer = node.request(method, path, body)
            with self.subTest(line):
                got = modern(f"{status} {blur(answer)}")
                (self.assertEqual if line[0] == ">" else self.assertNotEqual)(got, wanted)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mortised", required=True)
    parser.add_argument("--backend", default="rocksdb")
    parser.add_argument("--etcd", default="/usr/bin/etcd")
    arguments, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])

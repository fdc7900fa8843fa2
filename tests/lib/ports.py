"""Ports for the servers of tests, as tests/lib/process.h has them."""

import random
import socket

_reserved = []


def free_ports(count):
    """Ports of 127.0.0.1 on which nobody listens, below the range that the system gives to clients. No test program
    gets them again while this one is there: a socket with the port in its name, which ends with the process, says so."""
    ports = []
    while len(ports) < count:
        port = random.randrange(12000, 32000)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0mortise-test-port-{port}")
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _reserved.append(name)
        ports.append(port)
    return ports

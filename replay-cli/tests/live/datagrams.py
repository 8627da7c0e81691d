"""Bursts of UDP datagrams, counted at both ends. Each command prints one number.

    datagrams.py send    ADDRESS PORT COUNT BYTES    what it sent
    datagrams.py receive ADDRESS PORT                 what came until nothing came for 2 s
    datagrams.py answer  ADDRESS PORT COUNT BYTES    what it sent back to the first who asked
    datagrams.py ask     ADDRESS PORT                 what came back
"""

import socket
import sys

IDLE = 2.0
QUEUE = 256 << 20


def open_socket(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    # The bench is about the engine: what waits here must not be lost here.
    opened.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), QUEUE)
    return opened


def burst(opened, to, count, size):
    payload = bytes(size)
    for sent in range(count):
        try:
            opened.sendto(payload, to)
        except OSError as error:
            print(f"after {sent} datagrams: {error}", file=sys.stderr)
            return sent
    return count


def heard(opened, first):
    """Counts until it is quiet; waits `first` seconds for the first."""
    count = 0
    opened.settimeout(first)
    try:
        while True:
            opened.recv(65535)
            if count == 0:
                opened.settimeout(IDLE)
            count += 1
    except TimeoutError:
        return count


def main(what, address, port, count="0", size="0"):
    to, count, size = (address, int(port)), int(count), int(size)
    opened = open_socket(address)
    if what == "send":
        return burst(opened, to, count, size)
    if what == "receive":
        opened.bind(to)
        return heard(opened, 30)
    if what == "answer":
        opened.bind(to)
        return burst(opened, opened.recvfrom(65535)[1], count, size)
    if what == "ask":
        opened.sendto(b"?", to)
        return heard(opened, 5)
    raise SystemExit(__doc__)


print(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""One end of one TCP connection that does exactly what its steps say.

  endpoint.py listen  ADDRESS PORT 'read 40; send 300; shutdown; read_eof; close'
  endpoint.py connect ADDRESS PORT 'send 40; wait 200ms; read_eof; reset'

Steps, in the words of the scenario files: send N | read N | read_eof | read_error | wait Nms |
shutdown | close | reset. A reset is SO_LINGER 0 followed by close; read_error waits for the other
side's. What is sent is a fixed text, so that two recordings carry the same bytes.
"""

import argparse
import itertools
import socket
import struct
import sys
import time

SMALL_READ = 512  # several reads for one window, as a slow application does


def text(count, offset):
    """The bytes at `offset` of an endless text of numbered lines."""
    lines = itertools.count(offset // 32)
    out = bytearray()
    while len(out) < count + offset % 32:
        out += b"%07d the quick brown fox ran\n" % next(lines)
    return bytes(out[offset % 32 : offset % 32 + count])


class Peer:
    """A connected socket and the place reached in its outgoing text."""

    def __init__(self, connection):
        self.connection = connection
        self.sent = 0

    def run(self, steps):
        for step in steps:
            name, *argument = step.split()
            getattr(self, name)(*argument)

    def send(self, count):
        self.connection.sendall(text(int(count), self.sent))
        self.sent += int(count)

    def read(self, count):
        left = int(count)
        while left:
            data = self.connection.recv(min(left, SMALL_READ))
            if not data:
                sys.exit(f"end of stream with {left} bytes to read")
            left -= len(data)

    def read_eof(self):
        while self.connection.recv(SMALL_READ):
            pass

    def read_error(self):
        """Reads until the other side's reset shows."""
        try:
            self.read_eof()
        except ConnectionResetError:
            return
        sys.exit("end of stream where a reset was due")

    def wait(self, milliseconds):
        time.sleep(int(milliseconds.removesuffix("ms")) / 1000)

    def shutdown(self):
        self.connection.shutdown(socket.SHUT_WR)

    def close(self):
        self.connection.close()

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def prepared_socket(arguments):
    family = socket.AF_INET6 if ":" in arguments.address else socket.AF_INET
    result = socket.socket(family, socket.SOCK_STREAM)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if arguments.receive_buffer:
        result.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, arguments.receive_buffer)
    if arguments.keepalive:
        result.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        result.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, arguments.keepalive)
        result.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, arguments.keepalive)
    if arguments.fast_open and arguments.role == "listen":
        result.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 4)
    if arguments.from_port:
        result.bind(("", arguments.from_port))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["listen", "connect"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("steps")
    parser.add_argument("--receive-buffer", type=int, help="SO_RCVBUF in bytes")
    parser.add_argument("--keepalive", type=int, help="idle time and interval of keep-alive probes, in seconds")
    parser.add_argument("--from-port", type=int, help="local port of a connect")
    parser.add_argument("--fast-open", action="store_true", help="TCP Fast Open: the first send rides on the SYN")
    parser.add_argument("--connections", type=int, default=1, help="how many a listen serves, one after the other")
    arguments = parser.parse_args()

    steps = [step.strip() for step in arguments.steps.split(";") if step.strip()]
    end = prepared_socket(arguments)
    if arguments.role == "listen":
        end.bind((arguments.address, arguments.port))
        end.listen(8)
        for _ in range(arguments.connections):
            Peer(end.accept()[0]).run(steps)
        return
    peer = Peer(end)
    if arguments.fast_open:
        first, *steps = steps
        peer.sent = int(first.removeprefix("send "))
        end.sendto(text(peer.sent, 0), socket.MSG_FASTOPEN, (arguments.address, arguments.port))
    else:
        end.connect((arguments.address, arguments.port))
    peer.run(steps)


if __name__ == "__main__":
    main()

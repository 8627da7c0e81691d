"""A name server with one answer, over UDP and TCP: every A query is 192.0.2.7, every other one is empty."""

import socket
import socketserver
import struct
import sys


def answer(query):
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    found = question[-4:-2] == b"\0\1"
    head = query[:2] + struct.pack(">HHHHH", 0x8580, 1, int(found), 0, 0)
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 300, 4) + bytes([192, 0, 2, 7])
    return head + question + (record if found else b"")


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(answer(self.request[0]), self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        while len(length := self.rfile.read(2)) == 2:
            reply = answer(self.rfile.read(int.from_bytes(length, "big")))
            self.wfile.write(len(reply).to_bytes(2, "big") + reply)


def serve(server, handler, family, address):
    kind = type("Server", (socketserver.ThreadingMixIn, server), {"address_family": family, "allow_reuse_address": True})
    return kind((address, 53), handler)


if __name__ == "__main__":
    import threading

    for address in sys.argv[1:]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for server, handler in ((socketserver.UDPServer, Udp), (socketserver.TCPServer, Tcp)):
            threading.Thread(target=serve(server, handler, family, address).serve_forever).start()

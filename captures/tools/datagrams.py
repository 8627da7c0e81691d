#!/usr/bin/env python3
"""UDP on either side: a server that answers every nth datagram, a client that sends a burst.

  datagrams.py serve ADDRESS PORT [--answer-every 4]
  datagrams.py send  ADDRESS PORT --count 40 --size 100 --answers 10

An answer is the datagram itself, sent back. The client fails if fewer answers come than asked.
"""

import argparse
import socket
import sys
import time

ANSWER_TIMEOUT_SECONDS = 3.0


def serve(arguments, end):
    end.bind((arguments.address, arguments.port))
    count = 0
    while True:
        data, peer = end.recvfrom(65_535)
        count += 1
        if count % arguments.answer_every == 0:
            end.sendto(data, peer)


def send(arguments, end):
    end.connect((arguments.address, arguments.port))
    end.settimeout(ANSWER_TIMEOUT_SECONDS)
    for number in range(1, arguments.count + 1):
        line = b"datagram %02d of %02d " % (number, arguments.count)
        end.send((line * (arguments.size // len(line) + 1))[: arguments.size])
        time.sleep(arguments.gap / 1000)
    try:
        for _ in range(arguments.answers):
            end.recv(65_535)
        if arguments.refused:
            end.recv(65_535)
            sys.exit("an answer where a refusal was due")
    except ConnectionRefusedError:
        if not arguments.refused:
            raise


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["serve", "send"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--answer-every", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--size", type=int, default=100, help="bytes of UDP payload")
    parser.add_argument("--gap", type=float, default=0.0, help="milliseconds after each datagram")
    parser.add_argument("--answers", type=int, default=0, help="answers to wait for")
    parser.add_argument("--refused", action="store_true", help="expect an ICMP port unreachable")
    arguments = parser.parse_args()

    family = socket.AF_INET6 if ":" in arguments.address else socket.AF_INET
    end = socket.socket(family, socket.SOCK_DGRAM)
    (serve if arguments.role == "serve" else send)(arguments, end)


if __name__ == "__main__":
    main()

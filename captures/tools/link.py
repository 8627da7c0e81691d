#!/usr/bin/env python3
"""One link between two network namespaces, with a delay and chosen faults.

Not every kernel has netem or 802.1Q, so this small relay stands in for both. It joins two
ports and carries each frame from one to the other after --delay. A port is one of

  packet:IFNAME         every frame of an Ethernet interface, as it is
  vlan:IFNAME:ID        the same, but frames carry the 802.1Q tag ID on that interface
  tun:IFNAME:NETNS      a TUN device (raw IP, no link header), created here and moved to NETNS

--up (from the first port to the second) and --down take faults as KIND:N,N,... where N counts
the TCP and UDP packets of that direction from 1 (each fragment is one):  drop:3,5  loses them,  hold:4  lets the two frames that
follow overtake,  twice:6  delivers it a second time. The word READY on standard output says
that frames flow.
"""

import argparse
import fcntl
import heapq
import itertools
import os
import select
import socket
import struct
import subprocess
import time

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("=IIIHHHH")
TP_STATUS_VLAN_VALID = 1 << 4
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
LARGEST_FRAME = 65_600
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
# TCP, UDP, and the IPv6 fragment header: neighbour discovery must not move the count.
COUNTED_PROTOCOLS = (6, 17, 44)


class PacketPort:
    """An Ethernet interface, optionally with one 802.1Q tag on its wire."""

    def __init__(self, interface, vlan=None):
        self.vlan = vlan
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.bind((interface, 0))

    def fileno(self):
        return self.socket.fileno()

    def read(self):
        """Returns one frame without its tag, or None for a frame that does not cross."""
        frame, ancillary, _, address = self.socket.recvmsg(LARGEST_FRAME, 256)
        if address[2] == socket.PACKET_OUTGOING or self.tag_of(ancillary) != self.vlan:
            return None
        return frame

    def write(self, frame):
        if self.vlan is not None:
            frame = frame[:12] + struct.pack("!HH", 0x8100, self.vlan) + frame[12:]
        self.socket.send(frame)

    @staticmethod
    def tag_of(ancillary):
        # The kernel takes a received tag out of the frame and reports it beside it.
        for level, kind, data in ancillary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, _ = AUXDATA.unpack(data[: AUXDATA.size])
                return tci & 0xFFF if status & TP_STATUS_VLAN_VALID else None
        return None

    @staticmethod
    def packet(frame):
        return frame[14:] if frame[12:14] in (IPV4, IPV6) else b""


class TunPort:
    """A TUN device: each read and write is one IP packet."""

    def __init__(self, interface, namespace):
        self.tun = os.open("/dev/net/tun", os.O_RDWR)
        request = struct.pack("16sH22x", interface.encode(), IFF_TUN | IFF_NO_PI)
        fcntl.ioctl(self.tun, TUNSETIFF, request)
        # The open descriptor stays attached to the device across the move.
        subprocess.run(["ip", "link", "set", interface, "netns", namespace], check=True)

    def fileno(self):
        return self.tun

    def read(self):
        return os.read(self.tun, LARGEST_FRAME)

    def write(self, packet):
        try:
            os.write(self.tun, packet)
        except OSError:
            pass  # the device is still down: as lost as on any link without carrier

    @staticmethod
    def packet(frame):
        return frame


def port(text):
    kind, *rest = text.split(":")
    if kind == "packet":
        return PacketPort(rest[0])
    if kind == "vlan":
        return PacketPort(rest[0], int(rest[1]))
    if kind == "tun":
        return TunPort(rest[0], rest[1])
    raise argparse.ArgumentTypeError(f"unknown port {text!r}: packet:, vlan: or tun:")


def faults(text):
    kind, _, numbers = text.partition(":")
    if kind not in ("drop", "hold", "twice"):
        raise argparse.ArgumentTypeError(f"unknown fault {text!r}: drop:, hold: or twice:")
    return {int(number): kind for number in numbers.split(",")}


def counted(packet):
    if not packet:
        return False
    return packet[9 if packet[0] >> 4 == 4 else 6] in COUNTED_PROTOCOLS


class Direction:
    """Frames from one port to the other: counts them and applies the faults."""

    def __init__(self, source, sink, chosen, delay):
        self.source, self.sink, self.delay = source, sink, delay
        self.faults = {number: kind for group in chosen for number, kind in group.items()}
        self.count = 0
        self.held = None  # (frames still to overtake, frame)

    def take(self):
        """Reads one frame; yields (due, frame) for each copy to deliver now or later."""
        frame = self.source.read()
        if frame is None:
            return
        fault = None
        if counted(self.source.packet(frame)):
            self.count += 1
            fault = self.faults.get(self.count)
        due = time.monotonic() + self.delay
        if fault == "hold":
            self.held = (2, frame)
            return
        if fault != "drop":
            yield due, frame
        if fault == "twice":
            yield due, frame
        if self.held is not None:
            left, late = self.held[0] - 1, self.held[1]
            self.held = (left, late) if left else None
            if not left:
                yield due, late


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("near")
    parser.add_argument("far")
    parser.add_argument("--delay", type=float, default=0.0, help="one way, in milliseconds")
    parser.add_argument("--up", type=faults, action="append", default=[])
    parser.add_argument("--down", type=faults, action="append", default=[])
    arguments = parser.parse_args()

    near, far = port(arguments.near), port(arguments.far)
    delay = arguments.delay / 1000
    directions = [Direction(near, far, arguments.up, delay), Direction(far, near, arguments.down, delay)]
    print("READY", flush=True)

    order = itertools.count()  # frames due at one instant leave in the order they came
    queue = []
    while True:
        wait = max(0.0, queue[0][0] - time.monotonic()) if queue else None
        readable = select.select([near, far], [], [], wait)[0]
        for direction in directions:
            if direction.source in readable:
                for due, frame in direction.take():
                    heapq.heappush(queue, (due, next(order), direction.sink, frame))
        while queue and queue[0][0] <= time.monotonic():
            _, _, sink, frame = heapq.heappop(queue)
            sink.write(frame)


if __name__ == "__main__":
    main()

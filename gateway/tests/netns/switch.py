"""A switch between network namespaces, with delay and loss: each gets an interface `wan0`.

usage: switch.py DELAY_MS JITTER_MS LOSS_PERCENT NAMESPACE=ADDRESS/LENGTH...

Says `ready` when all are up. Commands on stdin, each answered by `ok`: `cut 0,1 2,3` lets nothing pass any more between the
first and the second, `heal` lets everything pass again. Ends when stdin does.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
TAP_WITHOUT_HEADER = 0x0002 | 0x1000
NAME = "wan0"
FRAME_BYTES = 2048

libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: int) -> None:
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def open_tap(namespace: str, address: str) -> int:
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    enter(there)
    try:
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", NAME.encode(), TAP_WITHOUT_HEADER))
    finally:
        enter(home)
        os.close(home)
        os.close(there)
    for command in (["addr", "add", address, "dev", NAME], ["link", "set", NAME, "up", "mtu", "1500"]):
        subprocess.check_call(["ip", "-n", namespace, *command])
    return tap


class Switch:
    def __init__(self, delay_ms: float, jitter_ms: float, loss_percent: float, taps: list[int]) -> None:
        self.delay, self.jitter, self.loss = delay_ms / 1e3, jitter_ms / 1e3, loss_percent / 100
        self.taps = taps
        self.ports: dict[bytes, int] = {}
        self.cut: set[tuple[int, int]] = set()
        self.under_way: list[tuple[float, int, int, int, bytes]] = []
        self.number = 0

    def take(self, source: int, frame: bytes) -> None:
        to, self.ports[frame[6:12]] = frame[:6], source
        known = self.ports.get(to)
        others = [port for port in range(len(self.taps)) if port != source]
        for port in others if known is None else [known]:
            if random.random() >= self.loss:
                self.number += 1
                due = time.monotonic() + self.delay + random.uniform(0, self.jitter)
                heapq.heappush(self.under_way, (due, self.number, source, port, frame))

    def deliver(self) -> float:
        """Hands over what is due; seconds until the next is, or a second."""
        while self.under_way:
            due, _, source, port, frame = self.under_way[0]
            wait = due - time.monotonic()
            if wait > 0:
                return wait
            heapq.heappop(self.under_way)
            if (source, port) not in self.cut:
                try:
                    os.write(self.taps[port], frame)
                except OSError:
                    pass  # Its queue is full, or it is down: lost.
        return 1.0

    def obey(self, line: str) -> None:
        words = line.split()
        if words[0] == "heal":
            self.cut.clear()
        elif words[0] == "cut":
            left, right = ([int(port) for port in side.split(",")] for side in words[1:])
            self.cut |= {pair for a in left for b in right for pair in ((a, b), (b, a))}
        print("ok", flush=True)


def main() -> None:
    delay, jitter, loss = (float(value) for value in sys.argv[1:4])
    taps = [open_tap(*place.split("=")) for place in sys.argv[4:]]
    switch = Switch(delay, jitter, loss, taps)
    poll = select.epoll()
    for descriptor in [*taps, sys.stdin.fileno()]:
        poll.register(descriptor, select.EPOLLIN)
    port_of = {tap: port for port, tap in enumerate(taps)}
    commands = b""
    print("ready", flush=True)
    while True:
        wait = switch.deliver()
        for descriptor, _ in poll.poll(wait):
            if descriptor == sys.stdin.fileno():
                read = os.read(descriptor, 4096)
                if not read:
                    return
                # A pipe hands over what was written so far, which need not be a whole line.
                *whole, commands = (commands + read).split(b"\n")
                for command in whole:
                    switch.obey(command.decode())
                continue
            for _ in range(64):
                try:
                    frame = os.read(descriptor, FRAME_BYTES)
                except BlockingIOError:
                    break
                switch.take(port_of[descriptor], frame)


main()

"""An Android device as far as `adb` can tell: adb's transport and shell protocols over TCP, its shell this machine's.

Written after adb's protocol.txt and shell_protocol.h of the Android Open Source Project.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading

VERSION, MOST = 0x01000001, 1 << 18
PUBLIC_KEY = 3
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
BANNER = b"device::ro.product.name=fake;ro.product.model=Fake;ro.product.device=fake;features=shell_v2,cmd"


class Device:
    """Listens on a port of its own; `trusts` says whether it accepts the computer's key."""

    def __init__(self, folder, *, trusts: bool = True):
        self.folder, self.trusts = folder, trusts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def unplug(self):
        """Cut all connections, as if the cable was pulled."""
        for connection in self.connections:
            connection.close()
        self.connections.clear()

    def close(self):
        self.listener.close()
        self.unplug()

    def _accept(self):
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            connection = _Connection(accepted, self)
            self.connections.append(connection)
            threading.Thread(target=connection.serve, daemon=True).start()


class _Connection:
    def __init__(self, accepted, device):
        self.socket, self.device = accepted, device
        self.lock = threading.Lock()
        self.streams = {}

    def send(self, command: bytes, first: int, second: int, data: bytes = b""):
        number = int.from_bytes(command, "little")
        header = struct.pack("<6I", number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF)
        with self.lock:
            self.socket.sendall(header + data)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def serve(self):
        try:
            while True:
                number, first, second, length, _, _ = struct.unpack("<6I", self.read(24))
                self.handle(number.to_bytes(4, "little"), first, second, self.read(length))
        except (EOFError, OSError):
            self.close()

    def handle(self, command, first, second, data):
        if command == b"CNXN" and self.device.trusts:
            self.send(b"CNXN", VERSION, MOST, BANNER)
        elif command == b"CNXN" or (command == b"AUTH" and first != PUBLIC_KEY):
            self.send(b"AUTH", 1, 0, os.urandom(20))
        elif command == b"OPEN":
            self.streams[first] = _Shell(self, first, data.rstrip(b"\0").decode())
        elif command == b"WRTE" and first in self.streams:
            self.streams[first].receive(data)
            self.send(b"OKAY", first, first)
        elif command == b"OKAY" and first in self.streams:
            self.streams[first].ready.release()
        elif command == b"CLSE" and first in self.streams:
            self.streams.pop(first).end()

    def close(self):
        self.socket.close()
        for stream in list(self.streams.values()):
            stream.end()
        self.streams.clear()


class _Shell:
    """One `adb shell COMMAND`; stream numbers are the same on both sides."""

    def __init__(self, connection, number, service):
        self.connection, self.number = connection, number
        self.ready, self.writing = threading.Semaphore(0), threading.Lock()
        self.received = b""
        if not service.startswith("shell,v2"):
            connection.send(b"CLSE", 0, number)
            return
        connection.send(b"OKAY", number, number)
        folder = str(connection.device.folder)
        self.process = subprocess.Popen(
            ["sh", "-c", service.partition(":")[2]],
            cwd=folder,
            env={"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": "/", "TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        outputs = ((STDOUT, self.process.stdout), (STDERR, self.process.stderr))
        threads = [threading.Thread(target=self.forward, args=each, daemon=True) for each in outputs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        try:
            self.write(EXIT, bytes([self.process.wait() & 0xFF]))
            self.connection.send(b"CLSE", self.number, self.number)
        except OSError:
            pass

    def forward(self, kind, stream):
        while data := os.read(stream.fileno(), 1 << 15):
            try:
                self.write(kind, data)
            except OSError:
                return

    def write(self, kind, data):
        with self.writing:
            self.connection.send(b"WRTE", self.number, self.number, struct.pack("<BI", kind, len(data)) + data)
            if not self.ready.acquire(timeout=30):
                raise OSError("no answer")

    def receive(self, data):
        self.received += data
        while len(self.received) >= 5:
            kind, length = struct.unpack("<BI", self.received[:5])
            if len(self.received) < 5 + length:
                return
            part, self.received = self.received[5 : 5 + length], self.received[5 + length :]
            try:
                if kind == STDIN:
                    self.process.stdin.write(part)
                    self.process.stdin.flush()
                elif kind == CLOSE_STDIN:
                    self.process.stdin.close()
            except (BrokenPipeError, ValueError):
                pass

    def end(self):
        self.ready.release()
        with contextlib.suppress(AttributeError, BrokenPipeError):
            self.process.stdin.close()

"""A TCP proxy between a program and its camera, for everything that goes wrong on the way."""

from __future__ import annotations

import random
import selectors
import socket
import threading
from types import TracebackType
from typing import Self

_CHUNK = 65536


class FaultProxy:
    """Passes bytes on between whoever connects to :attr:`port` and ``127.0.0.1:upstream``.

    ::

        proxy.upstream = server.port   # a server that comes back may have another port
        proxy.hold()                   # connections stay, and not a byte gets through
        proxy.release()                # what was held goes on
        proxy.flip_every = 500         # a bit in so many bytes from the server is wrong
        proxy.cut()                    # all connections are closed at once
        proxy.upstream = None          # who connects is turned away, as by a camera that is off

    One thread moves all bytes; ``hold`` stops reading, so that the sender's buffers fill up as they
    do behind a network that has gone.
    """

    def __init__(self) -> None:
        self.upstream: int | None = None
        self.flip_every: int | None = None
        """Bytes from the server from one flipped bit to the next, on average; None: none is."""
        self.connections = 0
        """How many were made so far, those that were turned away included."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._servers: set[socket.socket] = set()
        self._random = random.Random(0)
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._held = False
        self._over = False
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._listener.getsockname()[1])

    def address(self, credentials: str = "", path: str = "live") -> str:
        """The RTSP address behind the proxy."""
        return f"rtsp://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}/{path}"

    def hold(self) -> None:
        """Let no byte through, either way, until :meth:`release`; new connections are made."""
        self._held = True

    def release(self) -> None:
        """Let bytes through again."""
        self._held = False

    def cut(self) -> None:
        """Close every connection."""
        with self._lock:
            for each in tuple(self._pairs):
                self._close(each)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End and close everything."""
        self._over = True
        self._thread.join(5.0)
        self.cut()
        self._selector.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._over:
            if self._held:
                ready = []
                threading.Event().wait(0.02)
            else:
                ready = self._selector.select(timeout=0.02)
            with self._lock:
                for key, _ in ready:
                    assert isinstance(key.fileobj, socket.socket)
                    if key.fileobj is self._listener:
                        self._connect()
                    elif key.fileobj in self._pairs and not self._held:
                        self._pass_on(key.fileobj)

    def _connect(self) -> None:
        client, _ = self._listener.accept()
        self.connections += 1
        try:
            if self.upstream is None:
                raise ConnectionRefusedError
            server = socket.create_connection(("127.0.0.1", self.upstream), timeout=5.0)
        except OSError:
            client.close()
            return
        self._servers.add(server)
        for one, other in ((client, server), (server, client)):
            one.settimeout(5.0)
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        try:
            data = one.recv(_CHUNK)
            if not data:
                raise ConnectionResetError
            if self.flip_every is not None and one in self._servers:
                data = self._flipped(data, self.flip_every)
            self._pairs[one].sendall(data)
        except OSError:
            self._close(one)

    def _flipped(self, data: bytes, every: int) -> bytes:
        damaged = bytearray(data)
        for at in range(len(damaged)):
            if self._random.random() < 1 / every:
                damaged[at] ^= 1 << self._random.randrange(8)
        return bytes(damaged)

    def _close(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        if other is None:
            return
        self._pairs.pop(other, None)
        self._servers -= {one, other}
        for each in (one, other):
            self._selector.unregister(each)
            each.close()

"""A way to the broker that can be cut."""

import contextlib
import socket
import threading


class Link:
    """Passes connections at `port` on to the broker, while it is whole."""

    def __init__(self, broker):
        self.broker = broker
        self.whole = True
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self.listener.accept()[0]
                if not self.whole:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self.broker.port))
                for source, sink in (client, server), (server, client):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.sockets.append(source)
                    threading.Thread(target=self.carry, args=[source, sink], daemon=True).start()

    def carry(self, source, sink):
        with contextlib.suppress(OSError):
            while octets := source.recv(1 << 16):
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)

    def cut(self):
        """Ends all connections, and each new one at once."""
        self.whole = False
        while self.sockets:
            with contextlib.suppress(OSError):
                self.sockets.pop().shutdown(socket.SHUT_RDWR)

    def mend(self):
        self.whole = True


@contextlib.contextmanager
def link_to(broker):
    link = Link(broker)
    try:
        yield link
    finally:
        link.listener.close()
        link.cut()

"""A way to the broker that can be cut, at a chosen packet, too."""

import contextlib
import socket
import threading

# Where a packet goes.
TO_BROKER, TO_PROGRAM = "to the broker", "to the program"


class Link:
    """Passes connections at `port` on to the broker, while it is whole."""

    def __init__(self, broker):
        self.broker = broker
        self.whole = True
        self.trap = None
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
                for source, sink, way in (client, server, TO_BROKER), (server, client, TO_PROGRAM):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.sockets.append(source)
                    threading.Thread(target=self.carry, args=[source, sink, way], daemon=True).start()

    def carry(self, source, sink, way):
        with contextlib.suppress(OSError):
            for packet in packets(source):
                if self.trap and self.trap[0] == way and packet[0] >> 4 in self.trap[1]:
                    self.trap = None
                    self.hang_up()
                    return
                sink.sendall(packet)
            sink.shutdown(socket.SHUT_WR)

    def lose(self, way, kinds):
        """The next packet of these types that goes this way is lost, and the connections with it."""
        self.trap = way, kinds

    def hang_up(self):
        """Ends all connections."""
        while self.sockets:
            with contextlib.suppress(OSError):
                self.sockets.pop().shutdown(socket.SHUT_RDWR)

    def cut(self):
        """Ends all connections, and each new one at once."""
        self.whole = False
        self.hang_up()

    def mend(self):
        self.whole = True


def packets(source):
    """The MQTT packets that come."""
    octets = b""
    while more := source.recv(1 << 16):
        octets += more
        while (end := packet_end(octets)) is not None:
            yield octets[:end]
            octets = octets[end:]


def packet_end(octets):
    """Where the first packet ends, if it is whole."""
    length = 0
    for place, octet in enumerate(octets[1:5]):
        length |= (octet & 0x7F) << 7 * place
        if octet < 0x80:
            end = 2 + place + length
            return end if len(octets) >= end else None
    return None


@contextlib.contextmanager
def link_to(broker):
    link = Link(broker)
    try:
        yield link
    finally:
        link.listener.close()
        link.cut()

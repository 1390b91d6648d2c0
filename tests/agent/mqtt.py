"""A small MQTT 3.1.1 client at QoS 0 and 1, for one thread: what is published is sent by `flush`, what came is given by
`receive`."""

import collections
import select
import socket
import time

Message = collections.namedtuple("Message", "topic payload qos retain")

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14
PATIENCE = 10  # seconds for the broker's answer


def text(value):
    octets = value.encode()
    return len(octets).to_bytes(2, "big") + octets


def packet(kind, flags, body):
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes([kind << 4 | flags]) + bytes(length) + body


class Client:
    """One connection; it is not made again when it is lost: `receive` raises ConnectionError."""

    def __init__(self, port, name, keepalive=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.keepalive = keepalive
        self.last_sent = time.monotonic()
        self.unsent, self.unread = [], b""
        self.came = collections.deque()
        self.awaited = {}
        self.last_id = 0
        self.unsent.append(packet(CONNECT, 0, text("MQTT") + b"\x04\x02" + keepalive.to_bytes(2, "big") + text(name)))
        self.await_answer(CONNACK, 0)

    def subscribe(self, *filters, qos=1):
        number = self.next_id()
        body = number.to_bytes(2, "big") + b"".join(text(filter) + bytes([qos]) for filter in filters)
        self.unsent.append(packet(SUBSCRIBE, 2, body))
        self.await_answer(SUBACK, number)

    def publish(self, topic, payload, retain=False):
        """At QoS 0."""
        self.unsent.append(packet(PUBLISH, int(retain), text(topic) + payload.encode()))

    def publish_acknowledged(self, topic, payload, retain=False):
        """At QoS 1; returns when the broker has taken this message, and thereby all before it."""
        number = self.next_id()
        self.unsent.append(packet(PUBLISH, 2 | retain, text(topic) + number.to_bytes(2, "big") + payload.encode()))
        self.await_answer(PUBACK, number)

    def flush(self):
        if self.unsent:
            self.socket.sendall(b"".join(self.unsent))
            self.unsent.clear()
            self.last_sent = time.monotonic()

    def receive(self, timeout):
        """Sends what is unsent and gives the messages that came: at once if there are any, else after `timeout` seconds
        at most."""
        if time.monotonic() - self.last_sent > self.keepalive / 2:
            self.unsent.append(packet(PINGREQ, 0, b""))
        self.flush()
        self.read(0 if self.came else timeout)
        self.flush()  # the acknowledgements
        messages = list(self.came)
        self.came.clear()
        return messages

    def close(self):
        self.unsent.append(packet(DISCONNECT, 0, b""))
        self.flush()
        self.socket.close()

    def next_id(self):
        self.last_id = self.last_id % 65535 + 1
        return self.last_id

    def await_answer(self, kind, number):
        self.flush()
        self.awaited[kind, number] = None
        end = time.monotonic() + PATIENCE
        while self.awaited[kind, number] is None:
            if time.monotonic() > end:
                raise ConnectionError(f"the broker gives no answer of type {kind}")
            self.read(0.1)
        codes = self.awaited.pop((kind, number))
        if any(code >= 0x80 or (kind == CONNACK and code) for code in codes):
            raise ConnectionError(f"the broker refuses: answer of type {kind}, {list(codes)}")

    def read(self, timeout):
        if not select.select([self.socket], [], [], timeout)[0]:
            return
        octets = self.socket.recv(1 << 16)
        if not octets:
            raise ConnectionError("the broker closed the connection")
        self.unread += octets
        while (whole := self.split()) is not None:
            self.take(*whole)

    def split(self):
        """The first packet's head and body, if it is whole."""
        length = 0
        for place, octet in enumerate(self.unread[1:5]):
            length |= (octet & 0x7F) << 7 * place
            if octet < 0x80:
                start, end = 2 + place, 2 + place + length
                if len(self.unread) < end:
                    return None
                head, body = self.unread[0], self.unread[start:end]
                self.unread = self.unread[end:]
                return head, body
        return None

    def take(self, head, body):
        kind = head >> 4
        if kind == PUBLISH:
            qos, size = head >> 1 & 3, int.from_bytes(body[:2], "big")
            topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
            if qos:
                self.unsent.append(packet(PUBACK, 0, rest[:2]))
                rest = rest[2:]
            self.came.append(Message(topic, rest.decode(errors="replace"), qos, bool(head & 1)))
        elif kind == CONNACK:
            self.awaited[CONNACK, 0] = body[1:]
        elif (kind, number := int.from_bytes(body[:2], "big")) in self.awaited:
            self.awaited[kind, number] = body[2:]

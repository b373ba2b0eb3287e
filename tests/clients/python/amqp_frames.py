"""AMQP 1.0 frame by frame, for tests that must choose the order and the encoding themselves. Written from the OASIS standard.

Values are Python values where one encoding is natural, else one of the classes below. A performative is a list of fields.
"""
import socket
import ssl
import struct
import time

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44
RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = range(0x23, 0x28)
SOURCE, TARGET, ERROR = 0x28, 0x29, 0x1D
HEADER, DELIVERY_ANNOTATIONS, ANNOTATIONS, PROPERTIES, APPLICATION_PROPERTIES, DATA, SEQUENCE, VALUE = range(0x70, 0x78)


class Uint(int):
    pass


class Ushort(int):
    pass


class Ulong(int):
    pass


class Timestamp(int):
    """Milliseconds since 1970."""


class Symbol(str):
    pass


class Described:
    def __init__(self, code, value):
        self.code, self.value = code, value

    def __repr__(self):
        return f"<{self.code:#x} {self.value!r}>"


def encode(value, wide=False):
    """One value; `wide` takes the long encodings, as some libraries do for everything."""
    if value is None:
        return b"\x40"
    if isinstance(value, bool):
        return b"\x41" if value else b"\x42"
    if isinstance(value, Described):
        code = b"\x80" + struct.pack(">Q", value.code) if wide else b"\x53" + bytes([value.code])
        return b"\x00" + code + encode(value.value, wide)
    if isinstance(value, Uint):
        if value == 0 and not wide:
            return b"\x43"
        return b"\x52" + bytes([value]) if value < 256 and not wide else b"\x70" + struct.pack(">I", value)
    if isinstance(value, Ulong):
        return b"\x80" + struct.pack(">Q", value)
    if isinstance(value, Ushort):
        return b"\x60" + struct.pack(">H", value)
    if isinstance(value, Timestamp):
        return b"\x83" + struct.pack(">q", value)
    if isinstance(value, int):
        return b"\x71" + struct.pack(">i", value)
    if hasattr(value, "bytes") and hasattr(value, "hex") and not isinstance(value, (bytes, bytearray)):
        return b"\x98" + value.bytes
    if isinstance(value, (str, bytes, bytearray)):
        raw = value.encode() if isinstance(value, str) else bytes(value)
        short, long = (0xA3, 0xB3) if isinstance(value, Symbol) else (0xA1, 0xB1) if isinstance(value, str) else (0xA0, 0xB0)
        if len(raw) < 256 and not wide:
            return bytes([short, len(raw)]) + raw
        return bytes([long]) + struct.pack(">I", len(raw)) + raw
    if isinstance(value, list):
        if not value and not wide:
            return b"\x45"
        body = b"".join(encode(v, wide) for v in value)
        return b"\xd0" + struct.pack(">II", len(body) + 4, len(value)) + body
    if isinstance(value, dict):
        body = b"".join(encode(k, wide) + encode(v, wide) for k, v in value.items())
        return b"\xd1" + struct.pack(">II", len(body) + 4, 2 * len(value)) + body
    raise TypeError(type(value))


def decode(data, at=0):
    """(value, position after it)."""
    code, at = data[at], at + 1
    if code == 0x00:
        descriptor, at = decode(data, at)
        value, at = decode(data, at)
        return Described(descriptor, value), at
    fixed = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0, 0x45: []}
    if code in fixed:
        return fixed[code], at
    plain = {0x50: "B", 0x52: "B", 0x53: "B", 0x54: "b", 0x55: "b", 0x56: "?", 0x60: "H", 0x61: "h", 0x70: "I", 0x71: "i",
             0x72: "f", 0x73: "I", 0x80: "Q", 0x81: "q", 0x82: "d"}
    if code in plain:
        size = struct.calcsize(plain[code])
        return struct.unpack_from(">" + plain[code], data, at)[0], at + size
    if code == 0x83:
        return Timestamp(struct.unpack_from(">q", data, at)[0]), at + 8
    if code == 0x98:
        return bytes(data[at:at + 16]), at + 16
    if code in (0xA0, 0xA1, 0xA3, 0xB0, 0xB1, 0xB3):
        length, at = (data[at], at + 1) if code < 0xB0 else (struct.unpack_from(">I", data, at)[0], at + 4)
        raw = bytes(data[at:at + length])
        kind = code & 0x0F
        return raw if kind == 0 else raw.decode() if kind == 1 else Symbol(raw.decode()), at + length
    if code in (0xC0, 0xC1, 0xD0, 0xD1):
        if code < 0xD0:
            size, count, body = data[at], data[at + 1], at + 2
            end = at + 1 + size
        else:
            (size, count), body = struct.unpack_from(">II", data, at), at + 8
            end = at + 4 + size
        items = []
        for _ in range(count):
            item, body = decode(data, body)
            items.append(item)
        assert body == end, (body, end)
        return (dict(zip(items[::2], items[1::2])) if code & 1 else items), end
    if code in (0xE0, 0xF0):
        if code == 0xE0:
            size, count, body = data[at], data[at + 1], at + 2
            end = at + 1 + size
        else:
            (size, count), body = struct.unpack_from(">II", data, at), at + 8
            end = at + 4 + size
        inner, body = data[body], body + 1
        items = []
        for _ in range(count):
            item, used = decode(bytes([inner]) + bytes(data[body:end]), 0)
            body += used - 1
            items.append(item)
        return items, end
    raise ValueError(f"constructor {code:#x}")


def sections(data):
    """The sections of a message, in order."""
    found, at = [], 0
    while at < len(data):
        section, at = decode(data, at)
        found.append(section)
    return found


def frame(code, fields, channel=0, payload=b"", sasl=False, wide=False):
    body = encode(Described(code, fields), wide) + payload
    return struct.pack(">IBBH", 8 + len(body), 2, 1 if sasl else 0, channel) + body


class Frames:
    """A socket that sends what it is told, and reads frames."""

    def __init__(self, host, port, tls_ca=None, timeout=20):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls_ca:
            context = ssl.create_default_context(cafile=tls_ca)
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.timeout = timeout
        self.read = b""

    def send(self, *chunks):
        self.socket.sendall(b"".join(chunks))

    def exactly(self, count, deadline):
        while len(self.read) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.socket.settimeout(left)
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.read += more
        taken, self.read = self.read[:count], self.read[count:]
        return taken

    def header(self):
        return self.exactly(8, time.monotonic() + self.timeout)

    def next(self, timeout=None):
        """(channel, code, fields, payload); empty frames are passed over. TimeoutError when nothing comes."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            size, offset, _, channel = struct.unpack(">IBBH", self.exactly(8, deadline))
            body = self.exactly(size - 8, deadline)[offset * 4 - 8:]
            if body:
                performative, at = decode(body)
                return channel, performative.code, performative.value, body[at:]

    def until(self, code, channel=None, timeout=None, seen=None):
        """The fields of the next such frame, and its payload; others go to `seen`."""
        while True:
            at, found, fields, payload = self.next(timeout)
            if found == code and channel in (None, at):
                return fields, payload
            if seen is not None:
                seen.append((at, found, fields, payload))
            elif found in (DETACH, END, CLOSE):
                raise AssertionError(f"ended: {found:#x} {fields}")

    def close(self):
        self.socket.close()

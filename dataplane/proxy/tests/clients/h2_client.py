"""The h2 library as a client: one connection, many streams, and frames that are rarely seen.

usage: h2_client.py PORT TO [CA]

Prints one line a check, `ok NAME` or `FAILED NAME: why`, and `done` at the end.
"""

import hashlib
import json
import socket
import ssl
import sys
import traceback

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings


class Client:
    def __init__(self, port, to, ca):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        if ca:
            tls = ssl.create_default_context(cafile=ca)
            tls.set_alpn_protocols(["h2"])
            self.sock = tls.wrap_socket(self.sock, server_hostname="localhost")
            assert self.sock.selected_alpn_protocol() == "h2"
        self.to = to
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config=config)
        self.h2.initiate_connection()
        self.streams, self.log = {}, []
        self.consumes = True

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def turn(self):
        self.flush()
        data = self.sock.recv(65536)
        assert data, "the connection is closed"
        for event in self.h2.receive_data(data):
            self.on(event)
        self.flush()

    def on(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        match event:
            case h2.events.ResponseReceived():
                stream["head"] = dict(event.headers)
            case h2.events.DataReceived():
                stream["body"] += event.data
                stream["unread"] += event.flow_controlled_length
                if self.consumes:
                    self.consume(event.stream_id)
            case h2.events.TrailersReceived():
                stream["trailers"] = dict(event.headers)
            case h2.events.StreamEnded():
                stream["ended"] = True
            case h2.events.StreamReset():
                stream["reset"] = event.error_code
            case _:
                self.log.append(type(event).__name__)

    def consume(self, stream):
        unread, self.streams[stream]["unread"] = self.streams[stream]["unread"], 0
        if unread:
            self.h2.acknowledge_received_data(unread, stream)

    def begin(self, path, method="GET", fields=(), end=True, **priority):
        stream = self.h2.get_next_available_stream_id()
        head = [
            (":method", method),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", path),
            ("x-to", self.to),
            *fields,
        ]
        self.h2.send_headers(stream, head, end_stream=end, **priority)
        empty = {"head": None, "body": b"", "trailers": None, "ended": False}
        self.streams[stream] = {**empty, "reset": None, "unread": 0}
        return stream

    def send(self, stream, body, end=True, pad=None):
        while body:
            room = self.h2.local_flow_control_window(stream)
            room = min(room, self.h2.max_outbound_frame_size) - (pad + 1 if pad else 0)
            if room <= 0:
                self.turn()
                continue
            piece, body = body[:room], body[room:]
            self.h2.send_data(stream, piece, end_stream=end and not body, pad_length=pad)
        self.flush()

    def wait(self, *streams):
        while not all(self.streams[s]["ended"] or self.streams[s]["reset"] for s in streams):
            self.turn()
        return [self.streams[s] for s in streams]

    def get(self, path, **more):
        return self.wait(self.begin(path, **more))[0]


def pattern(size):
    return (bytes(at % 251 for at in range(251)) * (size // 251 + 1))[:size]


def echoed(message):
    assert message["head"][":status"] == "200", message
    return json.loads(message["body"])


def a_get(client):
    what = echoed(client.get("/echo?a=b", fields=[("x-a", "1"), ("cookie", "a=1")]))
    assert what["method"] == "GET" and what["path"] == "/echo?a=b", what
    assert ["x-a", "1"] in what["fields"] and ["cookie", "a=1"] in what["fields"], what


def an_upload(client):
    stream = client.begin("/echo", "POST", end=False)
    body = pattern(400_000)
    client.send(stream, body)
    what = echoed(client.wait(stream)[0])
    assert what["sha256"] == hashlib.sha256(body).hexdigest(), what


def a_hundred_streams_at_once(client):
    sizes = {client.begin(f"/size/{size * 97}"): size * 97 for size in range(1, 101)}
    for (stream, size), message in zip(sizes.items(), client.wait(*sizes)):
        assert message["body"] == pattern(size), (stream, size, len(message["body"]))


def padded_data(client):
    stream = client.begin("/echo", "POST", end=False)
    client.send(stream, pattern(100_000), pad=200)
    what = echoed(client.wait(stream)[0])
    assert what["length"] == 100_000, what


def priorities(client):
    first = client.begin("/size/10", priority_weight=200, priority_depends_on=0)
    second = client.begin(
        "/size/20", priority_weight=1, priority_depends_on=first, priority_exclusive=True
    )
    client.h2.prioritize(second, weight=99, depends_on=0)
    assert [len(message["body"]) for message in client.wait(first, second)] == [10, 20]


def large_heads(client):
    fields = [(f"x-large-{at}", "v" * 700) for at in range(40)]
    what = echoed(client.get("/echo", fields=fields))
    assert sum(name.startswith("x-large-") for name, _ in what["fields"]) == 40, what


def a_ping(client):
    client.h2.ping(b"12345678")
    client.log.clear()
    while "PingAckReceived" not in client.log:
        client.turn()


def a_window_that_opens_late(client):
    client.consumes = False
    stream = client.begin("/size/300000")
    # Half of what the connection's window may be: the library gives room back in large pieces.
    while len(client.streams[stream]["body"]) < 32_000:
        client.turn()
    client.consumes = True
    client.consume(stream)
    assert client.wait(stream)[0]["body"] == pattern(300_000)


def settings_that_change(client):
    codes = h2.settings.SettingCodes
    for window, table in ((1, 0), (100, 4096), (65_535, 100), (1_000_000, 4096)):
        client.h2.update_settings(
            {codes.INITIAL_WINDOW_SIZE: window, codes.HEADER_TABLE_SIZE: table}
        )
        client.log.clear()
        client.flush()
        while "SettingsAcknowledged" not in client.log:
            client.turn()
        size = min(window * 40, 200_000)
        assert client.get(f"/size/{size}", fields=[("x-b", "2")])["body"] == pattern(size)


def a_reset_harms_nobody(client):
    doomed = client.begin("/size/5000000")
    other = client.begin("/size/200000")
    while not client.streams[doomed]["body"]:
        client.turn()
    client.h2.reset_stream(doomed, h2.errors.ErrorCodes.CANCEL)
    assert client.wait(other)[0]["body"] == pattern(200_000)
    assert client.get("/size/7")["body"] == pattern(7)


def trailers(client):
    stream = client.begin("/echo", "POST", fields=[("te", "trailers")], end=False)
    client.send(stream, b"body", end=False)
    client.h2.send_headers(stream, [("x-sum", "7"), ("x-bin-bin", "AAEC")], end_stream=True)
    what = echoed(client.wait(stream)[0])
    answer = client.get("/trailers")
    assert answer["body"] == pattern(1_000), answer
    if what["version"] == "HTTP/2":
        assert what["trailers"] == [["x-sum", "7"], ["x-bin-bin", "AAEC"]], what
        assert answer["trailers"] == {"x-sum": "1", "x-more": "2"}, answer
    else:
        assert what["length"] == 4 and not what["trailers"], what


def statuses_without_bodies(client):
    for status in ("204", "304"):
        message = client.get(f"/status/{status}")
        assert (message["head"][":status"], message["body"]) == (status, b""), message
    message = client.get("/size/50", method="HEAD")
    assert (message["head"]["content-length"], message["body"]) == ("50", b""), message


CHECKS = [
    a_get,
    an_upload,
    a_hundred_streams_at_once,
    padded_data,
    priorities,
    large_heads,
    a_ping,
    a_window_that_opens_late,
    settings_that_change,
    a_reset_harms_nobody,
    trailers,
    statuses_without_bodies,
]


def main():
    port, to, ca = int(sys.argv[1]), sys.argv[2], (sys.argv[3:] or [None])[0]
    client = Client(port, to, ca)
    for check in CHECKS:
        try:
            check(client)
            print("ok", check.__name__, flush=True)
        except Exception:
            why = traceback.format_exc().replace("\n", " | ")
            print(f"FAILED {check.__name__}: {why}", flush=True)
            client = Client(port, to, ca)
    print("done", flush=True)


main()

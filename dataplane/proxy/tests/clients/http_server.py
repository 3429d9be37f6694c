"""An upstream by HTTP/1.1 (http.server) or HTTP/2 (the h2 library), with TLS if it is asked for.

usage: http_server.py h1|h2 PORT [CERTIFICATE KEY]

/size/N answers N bytes, /chunked the same without a length, /status/N that status, /trailers a body
and trailers; every other path is answered with what was received, as JSON.
"""

import hashlib
import http.server
import json
import socket
import ssl
import sys
import threading

import h2.config
import h2.connection
import h2.events


def pattern(size):
    return bytes(at % 251 for at in range(min(size, 251))) * (size // 251 + 1)


def seen(version, method, path, fields, body, trailers):
    return {
        "version": version,
        "method": method,
        "path": path,
        "fields": [[name.lower(), value] for name, value in fields],
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "trailers": trailers,
    }


def answer(method, path, what):
    """Status, fields, body, whether the body goes without a length, and trailers."""
    kind, _, rest = path.split("?")[0].lstrip("/").partition("/")
    if kind in ("size", "chunked", "trailers"):
        size = int(rest or 1000)
        trailers = [("x-sum", "1"), ("x-more", "2")] if kind == "trailers" else []
        return 200, [("x-kind", kind)], pattern(size)[:size], kind != "size", trailers
    if kind == "status":
        body = b"" if rest in ("204", "304") else b"status"
        return int(rest), [], body, False, []
    body = json.dumps(what).encode()
    return 200, [("content-type", "application/json")], body, False, []


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def chunks(self):
        body, trailers = b"", []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while (line := self.rfile.readline().strip()) != b"":
            trailers.append(line.decode().split(": ", 1))
        return body, trailers

    def serve(self):
        trailers = []
        if self.headers.get("transfer-encoding") == "chunked":
            body, trailers = self.chunks()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fields = self.headers.items()
        what = seen(self.request_version, self.command, self.path, fields, body, trailers)
        status, fields, body, lengthless, trailers = answer(self.command, self.path, what)
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if lengthless:
            self.send_header("transfer-encoding", "chunked")
        elif status not in (204, 304):
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if not lengthless:
            self.wfile.write(body)
            return
        for at in range(0, len(body), 10_000):
            piece = body[at : at + 10_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        self.wfile.write(f"0\r\n{lines}\r\n".encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = serve


class Connection:
    """One connection of HTTP/2, served on a thread of its own."""

    def __init__(self, sock):
        self.sock = sock
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config=config)
        self.requests, self.waiting = {}, {}

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def run(self):
        self.h2.initiate_connection()
        self.flush()
        while data := self.sock.recv(65536):
            for event in self.h2.receive_data(data):
                self.on(event)
            self.flush()

    def on(self, event):
        match event:
            case h2.events.RequestReceived():
                self.requests[event.stream_id] = [event.headers, b"", []]
            case h2.events.DataReceived():
                self.requests[event.stream_id][1] += event.data
                self.h2.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
            case h2.events.TrailersReceived():
                self.requests[event.stream_id][2] = [list(field) for field in event.headers]
            case h2.events.StreamEnded():
                self.respond(event.stream_id, *self.requests.pop(event.stream_id))
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for stream in list(self.waiting):
                    self.push(stream)
            case h2.events.StreamReset():
                self.requests.pop(event.stream_id, None)
                self.waiting.pop(event.stream_id, None)

    def respond(self, stream, fields, body, trailers):
        pseudo = {name: value for name, value in fields if name.startswith(":")}
        method, path = pseudo[":method"], pseudo[":path"]
        what = seen("HTTP/2", method, path, fields, body, trailers)
        status, fields, body, lengthless, trailers = answer(method, path, what)
        fields = [(":status", str(status)), *fields]
        if not lengthless and status not in (204, 304):
            fields.append(("content-length", str(len(body))))
        if method == "HEAD" or not body:
            self.h2.send_headers(stream, fields, end_stream=True)
            return
        self.h2.send_headers(stream, fields)
        self.waiting[stream] = [body, trailers]
        self.push(stream)

    def push(self, stream):
        body, trailers = self.waiting[stream]
        while body:
            room = min(
                self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size
            )
            if room <= 0:
                self.waiting[stream][0] = body
                return
            ends = len(body) <= room and not trailers
            self.h2.send_data(stream, body[:room], end_stream=ends)
            body = body[room:]
        if trailers:
            self.h2.send_headers(stream, trailers, end_stream=True)
        del self.waiting[stream]


def serve_h2(port, tls):
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=attend, args=(sock, tls), daemon=True).start()


def attend(sock, tls):
    try:
        with tls.wrap_socket(sock, server_side=True) if tls else sock as sock:
            Connection(sock).run()
    except OSError:
        pass


def main():
    protocol, port, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    tls = None
    if files:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*files)
        tls.set_alpn_protocols(["h2" if protocol == "h2" else "http/1.1"])
    if protocol == "h2":
        serve_h2(port, tls)
    http.server.ThreadingHTTPServer.request_queue_size = 128
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Echo)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


main()

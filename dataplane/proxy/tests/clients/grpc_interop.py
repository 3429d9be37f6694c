"""gRPC's interoperability cases by grpcio, in either role.

usage: grpc_interop.py serve PORT [CERTIFICATE KEY]
       grpc_interop.py ask PORT TO[,TO...] [CA]

The messages are those of grpc.testing.TestService, written and read field by field here. `ask`
prints a line a case, `ok TO NAME` or `FAILED TO NAME: why`, and `done` at the end.
"""

import concurrent.futures
import sys
import threading
import time
import traceback

import grpc

SERVICE = "/grpc.testing.TestService/"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
LARGE = 12 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", LARGE), ("grpc.max_send_message_length", LARGE)]


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def write(*fields):
    """A message of protobuf out of pairs of a field's number and its value."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def read(data):
    """A message's fields by number, each a list of its values."""
    fields, at = {}, 0

    def take():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = take()
        value = take()
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        fields.setdefault(key >> 3, []).append(value)
    return fields


def payload(size):
    return write((1, 0), (2, bytes(size)))


def payload_len(message):
    body = read(message).get(1, [b""])[0]
    return len(read(body).get(2, [b""])[0])


# The server.


class Service(grpc.GenericRpcHandler):
    def __init__(self):
        self.cancelled = 0

    def service(self, details):
        kind, _, name = details.method.rpartition("/")
        if kind + "/" != SERVICE:
            return None
        return {
            "EmptyCall": grpc.unary_unary_rpc_method_handler(self.empty),
            "UnaryCall": grpc.unary_unary_rpc_method_handler(self.unary),
            "Cancelled": grpc.unary_unary_rpc_method_handler(self.count),
            "StreamingInputCall": grpc.stream_unary_rpc_method_handler(self.inputs),
            "StreamingOutputCall": grpc.unary_stream_rpc_method_handler(self.outputs),
            "FullDuplexCall": grpc.stream_stream_rpc_method_handler(self.duplex),
        }.get(name)

    def echo(self, context):
        metadata = dict(context.invocation_metadata())
        if INITIAL in metadata:
            context.send_initial_metadata([(INITIAL, metadata[INITIAL])])
        if TRAILING in metadata:
            context.set_trailing_metadata([(TRAILING, metadata[TRAILING])])

    def fail(self, status, context):
        status = read(status)
        code = next(c for c in grpc.StatusCode if c.value[0] == status.get(1, [0])[0])
        context.abort(code, status.get(2, [b""])[0].decode())

    def empty(self, _, context):
        self.echo(context)
        return b""

    def count(self, _, context):
        return write((1, self.cancelled))

    def unary(self, request, context):
        self.echo(context)
        fields = read(request)
        if 7 in fields:
            self.fail(fields[7][0], context)
        if 99 in fields:
            return write((98, int(context.time_remaining() or 0)))
        return write((1, payload(fields.get(2, [0])[0])))

    def inputs(self, requests, context):
        return write((1, sum(payload_len(request) for request in requests)))

    def outputs(self, request, context):
        self.note_cancellation(context)
        yield from self.output(request, context)

    def output(self, request, context):
        fields = read(request)
        for parameters in map(read, fields.get(2, [])):
            time.sleep(parameters.get(2, [0])[0] / 1e6)
            yield write((1, payload(parameters.get(1, [0])[0])))
        if 7 in fields:
            self.fail(fields[7][0], context)

    def duplex(self, requests, context):
        self.echo(context)
        self.note_cancellation(context)
        for request in requests:
            yield from self.output(request, context)

    def note_cancellation(self, context):
        def ended():
            self.cancelled += context.code() is None and not context.is_active()

        context.add_callback(ended)


def serve(port, files):
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=32)
    server = grpc.server(pool, options=OPTIONS)
    server.add_generic_rpc_handlers([Service()])
    address = f"127.0.0.1:{port}"
    if files:
        certificate, key = (open(file, "rb").read() for file in files)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        server.add_secure_port(address, credentials)
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


# The client.


class Stub:
    def __init__(self, channel, to):
        self.channel, self.to = channel, to

    def call(self, kind, name, request, metadata=(), timeout=20, service=SERVICE, **more):
        method = getattr(self.channel, kind)(service + name)
        return method(request, timeout=timeout, metadata=[("x-to", self.to), *metadata], **more)

    def unary(self, name, request, **more):
        return self.call("unary_unary", name, request, **more)

    def duplex(self, requests, **more):
        return self.call("stream_stream", "FullDuplexCall", requests, **more)


def expect(code, message, call):
    try:
        list(call()) if message is None else call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        assert not message or error.details() == message, error
        return
    raise AssertionError("the call did not fail")


def simple(size, *more):
    return write((2, size), (3, payload(271828)), *more)


def output(*sizes, more=()):
    return write(*((2, write((1, size))) for size in sizes), *more)


def feed(requests):
    """An iterator that gives one request for each answer that has come."""
    ready = threading.Semaphore(1)

    def all_of_them():
        for request in requests:
            ready.acquire()
            yield request

    return all_of_them(), ready.release


def empty_unary(stub):
    assert stub.unary("EmptyCall", b"") == b""


def large_unary(stub):
    assert payload_len(stub.unary("UnaryCall", simple(314159))) == 314159


def larger_unary(stub):
    request = write((2, 8_000_000), (3, payload(8_000_000)))
    assert payload_len(stub.unary("UnaryCall", request)) == 8_000_000


def compressed_unary(stub):
    if stub.to.startswith("tonic"):
        # It is built without, and says so.
        gzip = {"compression": grpc.Compression.Gzip}
        call = lambda: stub.unary("UnaryCall", simple(1000), **gzip)
        return expect(grpc.StatusCode.UNIMPLEMENTED, "", call)
    answer = stub.unary("UnaryCall", simple(1000), compression=grpc.Compression.Gzip)
    assert payload_len(answer) == 1000


def many_at_once(stub):
    method = stub.channel.unary_unary(SERVICE + "UnaryCall")
    metadata = [("x-to", stub.to)]
    calls = [method.future(simple(at), timeout=20, metadata=metadata) for at in range(50)]
    assert [payload_len(call.result()) for call in calls] == list(range(50))


def client_streaming(stub):
    requests = (write((1, payload(size))) for size in (27182, 8, 1828, 45904))
    answer = stub.call("stream_unary", "StreamingInputCall", requests)
    assert read(answer)[1] == [74922]


def server_streaming(stub):
    sizes = [31415, 9, 2653, 58979]
    answers = stub.call("unary_stream", "StreamingOutputCall", output(*sizes))
    assert [payload_len(answer) for answer in answers] == sizes


def ping_pong(stub):
    sizes = [(27182, 31415), (8, 9), (1828, 2653), (45904, 58979)]
    requests = [output(answer, more=[(3, payload(size))]) for size, answer in sizes]
    requests, more = feed(requests)
    answers = []
    for answer in stub.duplex(requests):
        answers.append(payload_len(answer))
        more()
    assert answers == [answer for _, answer in sizes], answers


def empty_stream(stub):
    assert list(stub.duplex(iter(()))) == []


def custom_metadata(stub):
    value, trailing = "test_initial_metadata_value", b"\xab\xab\xab"
    metadata = [(INITIAL, value), (TRAILING, trailing)]
    method = stub.channel.unary_unary(SERVICE + "UnaryCall")
    all_of_it = [("x-to", stub.to), *metadata]
    answer, call = method.with_call(simple(314159), timeout=20, metadata=all_of_it)
    duplex = stub.duplex(iter([output(314159)]), metadata=metadata)
    assert payload_len(answer) == 314159
    assert [payload_len(answer) for answer in duplex] == [314159]
    for call in (call, duplex):
        assert dict(call.initial_metadata())[INITIAL] == value
        assert dict(call.trailing_metadata())[TRAILING] == trailing


def status_code_and_message(stub):
    status = write((1, 2), (2, "test status message"))
    code = grpc.StatusCode.UNKNOWN
    unary = write((7, status))
    expect(code, "test status message", lambda: stub.unary("UnaryCall", unary))
    requests = [write((7, status))]
    expect(code, "test status message", lambda: list(stub.duplex(iter(requests))))


def special_status_message(stub):
    request = write((7, write((1, 2), (2, SPECIAL))))
    expect(grpc.StatusCode.UNKNOWN, SPECIAL, lambda: stub.unary("UnaryCall", request))


def unimplemented_method(stub):
    code = grpc.StatusCode.UNIMPLEMENTED
    expect(code, "", lambda: stub.unary("UnimplementedCall", b""))


def unimplemented_service(stub):
    code, service = grpc.StatusCode.UNIMPLEMENTED, "/grpc.testing.UnimplementedService/"
    expect(code, "", lambda: stub.unary("UnimplementedCall", b"", service=service))


def cancel_after_begin(stub):
    method = stub.channel.stream_unary(SERVICE + "StreamingInputCall")
    waiting = threading.Event()

    def nothing():
        waiting.wait(10)
        yield from ()

    call = method.future(nothing(), timeout=20, metadata=[("x-to", stub.to)])
    call.cancel()
    waiting.set()
    assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED, call


def cancelled(stub):
    return read(stub.unary("Cancelled", b"")).get(1, [0])[0]


def cancel_after_first_response(stub):
    before = cancelled(stub)
    requests, _ = feed([output(31415, more=[(3, payload(27182))]), b""])
    call = stub.duplex(requests)
    assert payload_len(next(call)) == 31415
    call.cancel()
    expect(grpc.StatusCode.CANCELLED, None, lambda: call)
    for _ in range(100):
        if cancelled(stub) > before:
            return
        time.sleep(0.05)
    raise AssertionError("the server was not told")


def timeout_on_sleeping_server(stub):
    waiting = threading.Event()

    def one():
        yield write((3, payload(27182)))
        waiting.wait(10)

    call = stub.duplex(one(), timeout=0.1)
    expect(grpc.StatusCode.DEADLINE_EXCEEDED, None, lambda: call)
    waiting.set()


def a_deadline_is_passed_on(stub):
    left = read(stub.unary("UnaryCall", write((99, b"")), timeout=50)).get(98, [0])[0]
    assert 20 < left <= 50, left


def nobody_listens(stub):
    lonely = Stub(stub.channel, "dead")
    expect(grpc.StatusCode.UNAVAILABLE, "", lambda: lonely.unary("EmptyCall", b""))


CASES = [
    empty_unary,
    large_unary,
    larger_unary,
    compressed_unary,
    many_at_once,
    client_streaming,
    server_streaming,
    ping_pong,
    empty_stream,
    custom_metadata,
    status_code_and_message,
    special_status_message,
    unimplemented_method,
    unimplemented_service,
    cancel_after_begin,
    cancel_after_first_response,
    timeout_on_sleeping_server,
    a_deadline_is_passed_on,
    nobody_listens,
]


def ask(port, names, ca):
    if ca:
        credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
        channel = grpc.secure_channel(f"localhost:{port}", credentials, options=OPTIONS)
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
    for to in names:
        for case in CASES:
            try:
                case(Stub(channel, to))
                print("ok", to, case.__name__, flush=True)
            except Exception:
                why = traceback.format_exc().replace("\n", " | ")
                print(f"FAILED {to} {case.__name__}: {why}", flush=True)
    print("done", flush=True)


def main():
    role, port, rest = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if role == "serve":
        serve(port, rest)
    else:
        ask(port, rest[0].split(","), (rest[1:] or [None])[0])


main()

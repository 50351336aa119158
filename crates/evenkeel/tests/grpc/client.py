"""Calls of every kind through a proxy, with grpcio. Says nothing if all went as it should."""

import collections
import queue
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

WAIT = 20
channel = grpc.insecure_channel(sys.argv[2])


def path(name):
    return "/test.Test/" + name


def unary(name):
    return channel.unary_unary(path(name))


def expect(got, expected):
    assert got == expected, f"{got!r} instead of {expected!r}"


def all_kinds():
    response, call = unary("Unary").with_call(b"hello", timeout=WAIT, metadata=(("x-sent", "7"),))
    assert response.endswith(b":hello"), response
    expect(dict(call.initial_metadata()).get("x-began"), "1")
    expect(dict(call.trailing_metadata()).get("x-ended"), "7")
    expect(dict(call.trailing_metadata()).get("x-data-bin"), b"\x00\xff")
    expect(len(unary("Unary")(b"x" * 1_000_000, timeout=WAIT)) > 1_000_000, True)
    counted = channel.unary_stream(path("Count"))(b"1000", timeout=WAIT)
    expect([int(number) for number in counted], list(range(1000)))
    pieces = (str(number).encode() for number in range(1000))
    collected = channel.stream_unary(path("Collect"))(pieces, timeout=WAIT)
    expect(collected, b",".join(str(number).encode() for number in range(1000)))


def talk():
    # Each message is sent after the answer to the one before: both directions are open at once.
    said = queue.Queue()
    answers = channel.stream_stream(path("Talk"))(iter(said.get, None), timeout=WAIT)
    for number in range(100):
        said.put(f"word {number}".encode())
        expect(next(answers), f"WORD {number}".encode())
    # The server ends the call though the client has more to say.
    said.put(b"enough")
    expect(next(answers), b"ENOUGH")
    expect(list(answers), [])
    expect(answers.code(), grpc.StatusCode.OK)
    said.put(None)


def errors():
    try:
        unary("Fail")(b"this", timeout=WAIT)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
        expect(error.details(), "this är nicht möglich")
    try:
        unary("Missing")(b"", timeout=WAIT)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.UNIMPLEMENTED)
    try:
        unary("Slow")(b"", timeout=0.5)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        expect(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    expect(unary("Unary")(b"on", timeout=WAIT)[-3:], b":on")


def health():
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="test.Test")
    expect(stub.Check(request, timeout=WAIT).status, health_pb2.HealthCheckResponse.SERVING)


def shares():
    calls = [unary("Unary").future(b"x", timeout=WAIT) for _ in range(300)]
    names = collections.Counter(call.result().split(b":")[0].decode() for call in calls)
    print(" ".join(f"{name}={count}" for name, count in sorted(names.items())))


def unavailable():
    try:
        unary("Unary")(b"", timeout=WAIT)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        print(error.code().name, error.details())


globals()[sys.argv[1]]()

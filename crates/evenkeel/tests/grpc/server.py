"""A gRPC server whose messages are plain bytes, so that nothing has to be generated."""

import sys
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

NAME = sys.argv[1].encode()


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-began", "1"),))
    context.set_trailing_metadata((("x-ended", metadata.get("x-sent", "")), ("x-data-bin", b"\x00\xff")))
    return NAME + b":" + request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode() + " är nicht möglich")


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def collect(requests, context):
    return b",".join(requests)


def talk(requests, context):
    for request in requests:
        yield request.upper()
        if request == b"enough":
            return  # while the client has not ended its half


def slow(request, context):
    time.sleep(30)
    return b"late"


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Slow": grpc.unary_unary_rpc_method_handler(slow),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Collect": grpc.stream_unary_rpc_method_handler(collect),
    "Talk": grpc.stream_stream_rpc_method_handler(talk),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", HANDLERS),))
servicer = health.HealthServicer()
servicer.set("test.Test", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()

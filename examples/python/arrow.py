#!/usr/bin/env python3
"""Runs a statement and writes its result to standard output as an Apache Arrow IPC stream.

    pip install -r examples/python/requirements.txt
    python examples/python/arrow.py "SELECT * FROM products" --connection demo > products.arrows
    python examples/python/arrow.py --workflow ID > answer.arrows

Exit code: 0 written whole, 4 the call failed; what was written then is no whole stream.
"""

import argparse
import sys

import grpc

from ask import find_connection, load_stubs


def main():
    parser = argparse.ArgumentParser(description="Write a result as an Arrow stream.")
    parser.add_argument("sql", nargs="?", help="one statement")
    parser.add_argument("--connection", default="demo", help="name of a saved connection")
    parser.add_argument("--workflow", help="id of a completed workflow, whose SQL runs again")
    parser.add_argument("--server", default="127.0.0.1:50051", help="host:port")
    arguments = parser.parse_args()
    if (arguments.sql is None) == (arguments.workflow is None):
        parser.error("give a statement or --workflow")
    connections, connections_grpc, _, _ = load_stubs()
    from pulse.v1 import query_service_pb2 as queries, query_service_pb2_grpc as queries_grpc

    request = queries.StreamQueryRequest(format=queries.STREAM_FORMAT_ARROW)
    with grpc.insecure_channel(arguments.server) as channel:
        try:
            if arguments.workflow:
                request.workflow_id = arguments.workflow
            else:
                stub = connections_grpc.ConnectionServiceStub(channel)
                request.statement.connection_id = find_connection(stub, connections, arguments.connection)
                request.statement.sql = arguments.sql
            for piece in queries_grpc.QueryServiceStub(channel).StreamQuery(request):
                sys.stdout.buffer.write(piece.batch.arrow_ipc)
                if piece.WhichOneof("part") == "summary":
                    cut = ", more than were sent" if piece.summary.truncated else ""
                    print(f"{piece.summary.row_count} rows{cut}", file=sys.stderr)
                    return 0
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 4
    return 4


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Asks Pulse a question and watches the agents, with stubs that grpcio-tools makes from proto/.

    pip install -r examples/python/requirements.txt
    python examples/python/ask.py "How many customers do we have?" --connection demo

Exit code: 0 answered, 1 not answered, 4 the call itself failed.
"""

import argparse
import pathlib
import sys
import tempfile

import grpc
import grpc_tools
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


def load_stubs():
    """Generates the stubs into a temporary folder and imports them. A project would do this once, at build time."""
    folder = tempfile.mkdtemp(prefix="pulse-stubs-")
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("pulse/v1/*.proto"))
    code = protoc.main(
        ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]
    )
    if code != 0:
        sys.exit("the stubs cannot be generated")
    sys.path.insert(0, folder)
    from pulse.v1 import connection_service_pb2, connection_service_pb2_grpc
    from pulse.v1 import workflow_service_pb2, workflow_service_pb2_grpc

    return connection_service_pb2, connection_service_pb2_grpc, workflow_service_pb2, workflow_service_pb2_grpc


def find_connection(stub, messages, name):
    """The id of the saved connection of this name."""
    token = ""
    while True:
        page = stub.ListConnections(messages.ListConnectionsRequest(page_token=token))
        for connection in page.connections:
            if connection.name.lower() == name.lower():
                return connection.id
        token = page.next_page_token
        if not token:
            sys.exit(f"no connection is named {name!r}")


def cell(value):
    """A typed cell as Python text."""
    kind = value.WhichOneof("kind")
    return "NULL" if kind in (None, "null_value") else str(getattr(value, kind))


def show(event):
    """Prints one event; returns the exit code when it was the last one."""
    kind = event.WhichOneof("event")
    body = getattr(event, kind)
    if kind in ("step_completed", "step_failed"):
        print(f"{event.sequence:3} {kind:15} {body.step.name:12} {body.step.summary}")
    elif kind == "result":
        print(f"{event.sequence:3} {kind:15} {body.sql}")
        print("\t".join(column.name for column in body.columns))
        for row in body.rows:
            print("\t".join(cell(value) for value in row.values))
        print(body.answer_text)
    else:
        print(f"{event.sequence:3} {kind}")
    if kind == "completed":
        return 0
    if kind in ("failed", "cancelled"):
        print(body.failure.message if kind == "failed" else body.reason)
        return 1
    return None


def main():
    parser = argparse.ArgumentParser(description="Ask Pulse a question.")
    parser.add_argument("question")
    parser.add_argument("--connection", default="demo", help="name of a saved connection")
    parser.add_argument("--server", default="127.0.0.1:50051", help="host:port")
    arguments = parser.parse_args()
    connections, connections_grpc, workflows, workflows_grpc = load_stubs()
    with grpc.insecure_channel(arguments.server) as channel:
        try:
            connection_id = find_connection(
                connections_grpc.ConnectionServiceStub(channel), connections, arguments.connection
            )
            stub = workflows_grpc.WorkflowServiceStub(channel)
            started = stub.StartWorkflow(
                workflows.StartWorkflowRequest(question=arguments.question, connection_id=connection_id)
            )
            print("workflow", started.workflow.id)
            for response in stub.WatchWorkflow(workflows.WatchWorkflowRequest(id=started.workflow.id)):
                code = show(response.event)
                if code is not None:
                    return code
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 4
    return 4


if __name__ == "__main__":
    sys.exit(main())

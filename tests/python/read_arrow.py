#!/usr/bin/env python3
"""Reads an Arrow IPC stream from a file and prints, as JSON, its fields and its rows, cells as exact text.

    python tests/python/read_arrow.py result.arrows
"""

import datetime
import json
import sys
import uuid

import pyarrow
import pyarrow.ipc


def text(value):
    """A Python value as the text that Pulse's typed rows would show."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (int, float, uuid.UUID)):
        return str(value)
    sys.exit(f"an unexpected {type(value).__name__}")


with pyarrow.OSFile(sys.argv[1]) as file, pyarrow.ipc.open_stream(file) as reader:
    fields = [[field.name, str(field.type)] for field in reader.schema]
    batches = list(reader)
    for batch in batches:
        batch.validate(full=True)
    columns = [[column.to_pylist() for column in batch.columns] for batch in batches]
    rows = [[text(cell) for cell in row] for batch in columns for row in zip(*batch)]
json.dump({"fields": fields, "batches": len(batches), "rows": rows}, sys.stdout)

"""Compares google/api in a descriptor set with the copy clients get from PyPI.

Usage: compare_googleapis.py DESCRIPTOR_SET     (needs the package googleapis-common-protos)

Prints every difference and exits with 1 when there is one. Differences matter because a process that loads two unlike
descriptions of one file refuses the second: a client that has both Pulse's stubs and Google's would not start.
"""

import sys

from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, text_format

PUBLISHED = (http_pb2, annotations_pb2)


def as_generated(file):
    """The file as protoc embeds it in generated code: without comments, and without JSON names that follow from names."""
    copy = descriptor_pb2.FileDescriptorProto()
    copy.CopyFrom(file)
    copy.ClearField("source_code_info")
    messages = list(copy.message_type)
    fields = list(copy.extension)
    while messages:
        message = messages.pop()
        messages += message.nested_type
        fields += message.field
    for field in fields:
        field.ClearField("json_name")
    return copy


def differences(ours):
    files = {file.name: file for file in ours.file}
    for module in PUBLISHED:
        published = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(published)
        if published.name not in files:
            yield f"{published.name}: missing from the descriptor set"
            continue
        mine, theirs = (
            text_format.MessageToString(as_generated(file)).splitlines() for file in (files[published.name], published)
        )
        yield from (f"{published.name}: only here: {line.strip()}" for line in mine if line not in theirs)
        yield from (f"{published.name}: only published: {line.strip()}" for line in theirs if line not in mine)
        if sorted(mine) == sorted(theirs) and mine != theirs:
            yield f"{published.name}: declared in another order"


def loads_beside_published(ours):
    """What a client's runtime does: all of our files into the pool that already holds the published ones."""
    pool = descriptor_pool.Default()
    for file in ours.file:
        if file.name.startswith("google/protobuf/"):
            continue  # the runtime has its own, whatever a client is given
        try:
            pool.AddSerializedFile(as_generated(file).SerializeToString())
        except TypeError as error:
            yield f"{file.name}: does not load beside the published files: {error}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    from google.protobuf import duration_pb2, field_mask_pb2, struct_pb2, timestamp_pb2  # noqa: F401  fills the pool

    ours = descriptor_pb2.FileDescriptorSet()
    with open(sys.argv[1], "rb") as file:
        ours.ParseFromString(file.read())
    found = [*differences(ours), *loads_beside_published(ours)]
    for line in found:
        print(line)
    if not found:
        print(f"google/api agrees with googleapis-common-protos; {len(ours.file)} files load beside it")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

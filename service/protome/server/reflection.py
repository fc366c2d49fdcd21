"""Serve gRPC server reflection, as ``grpc.reflection.v1`` and as ``grpc.reflection.v1alpha``.

grpcio-reflection has v1alpha only, and does not find methods by name. Both versions have the same
messages on the wire.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

V1ALPHA: Final = reflection.SERVICE_NAME
V1: Final = V1ALPHA.replace("v1alpha", "v1")
METHOD: Final = "ServerReflectionInfo"


class _Servicer(reflection.aio.ReflectionServicer):  # type: ignore[name-defined,misc]
    """Find the file of a method too, which protobuf's pool in Python does not."""

    def _file_containing_symbol(
        self, request: reflection_pb2.ServerReflectionRequest, name: str
    ) -> reflection_pb2.ServerReflectionResponse:
        service, _, method = name.rpartition(".")
        try:
            methods = self._pool.FindServiceByName(service).methods_by_name
        except KeyError:
            methods = {}
        return super()._file_containing_symbol(request, service if method in methods else name)


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Add both reflection services to a server.

    Args:
        server: the server.
        services: full names of the services to list, without those of reflection.
    """
    _describe_v1()
    servicer = _Servicer((*services, V1, V1ALPHA))
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    for service in (V1, V1ALPHA):
        methods = grpc.method_handlers_generic_handler(service, {METHOD: handler})
        server.add_generic_rpc_handlers((methods,))


def _describe_v1() -> None:
    """Add the descriptors of v1 to the pool, so that reflection describes itself."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    text = text_format.MessageToString(file).replace("v1alpha", "v1")
    renamed = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(renamed.SerializeToString())

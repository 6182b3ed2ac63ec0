"""A gRPC client that knows a service by reflection alone. Prints one JSON document, and makes a call again for every line that
it is told.

usage: reflect.py ADDRESS v1|v1alpha list
       reflect.py ADDRESS v1|v1alpha METHOD REQUEST_JSON [TOKEN]     METHOD as package.Service/Method
"""

import json
import sys

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2


class Reflection:
    """Both versions of the protocol have the same messages."""

    def __init__(self, channel, version):
        self.call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        self.pool = descriptor_pool.DescriptorPool()
        self.known = set()

    def ask(self, **question):
        answer = next(self.call(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=20))
        if answer.HasField("error_response"):
            raise SystemExit(f"reflection refused {question}: {answer.error_response.error_message}")
        return answer

    def services(self):
        return sorted(service.name for service in self.ask(list_services="").list_services_response.service)

    def learn(self, **question):
        for encoded in self.ask(**question).file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(encoded)
            if file.name in self.known:
                continue
            self.known.add(file.name)
            for dependency in file.dependency:
                if dependency not in self.known:
                    self.learn(file_by_filename=dependency)
            self.pool.Add(file)

    def method(self, service, name):
        self.learn(file_containing_symbol=service)
        return self.pool.FindServiceByName(service).methods_by_name[name]


def say(what):
    print(json.dumps(what), flush=True)


def main(address, version, what, request="{}", token=None):
    channel = grpc.insecure_channel(address)
    reflection = Reflection(channel, version)
    if what == "list":
        return say(reflection.services())
    service, name = what.split("/")
    method = reflection.method(service, name)
    input_class = message_factory.GetMessageClass(method.input_type)
    output_class = message_factory.GetMessageClass(method.output_type)
    message = json_format.Parse(request, input_class(), descriptor_pool=reflection.pool)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    options = dict(request_serializer=input_class.SerializeToString, response_deserializer=output_class.FromString)

    def call():
        try:
            if method.client_streaming:
                answers = channel.stream_stream(f"/{what}", **options)(iter([message]), metadata=metadata, timeout=20)
                answer = next(answers)
            else:
                answer = channel.unary_unary(f"/{what}", **options)(message, metadata=metadata, timeout=20)
        except grpc.RpcError as error:
            return {"code": error.code().name, "message": error.details()}
        return {"code": "OK", "answer": json_format.MessageToDict(answer, descriptor_pool=reflection.pool)}

    say(call())
    for _ in sys.stdin:
        say(call())


main(*sys.argv[1:])

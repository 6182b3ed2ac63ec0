"""Holds an OpenAPI document against the meta-schema of OpenAPI 3.1, and its examples against their own schemas.

Reads the document from one line of standard input. Prints one JSON document: how many examples there are, and everything that is wrong.
"""

import json
import sys

from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace", "query"}


def shown(place):
    """The examples of a media type or a parameter."""
    if "example" in place:
        yield place["example"]
    for example in place.get("examples", {}).values():
        yield example["value"]


def examples(document):
    """Every example with its schema and a name for people."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method not in METHODS:
                continue
            name = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                for example in shown(parameter):
                    yield f"{name}, {parameter['name']}", parameter["schema"], example
            bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
            for place, body in bodies.items():
                for media_type, content in body.get("content", {}).items():
                    for example in shown(content):
                        yield f"{name}, {place}, {media_type}", content.get("schema", {}), example


def without_example(document):
    """Requests and JSON answers that show none. Lines of JSON that are sent as a file are any bytes."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            bodies = {"request": operation.get("requestBody", {}), **operation["responses"]}
            for place, body in bodies.items():
                for media_type, content in body.get("content", {}).items():
                    if "json" in media_type and "ndjson" not in media_type and path != "/openapi.json" and not list(shown(content)):
                        yield f"{method.upper()} {path}, {place} has no example"


def main():
    document = json.loads(sys.stdin.readline())
    problems = [f"meta-schema: {error.message}" for error in OpenAPIV31SpecValidator(document).iter_errors()]
    problems += without_example(document)
    # References are to `#/components/…`, so each schema is looked at with these beside it.
    components = {"components": document["components"]}
    count = 0
    for name, schema, example in examples(document):
        count += 1
        validator = Draft202012Validator(schema | components, format_checker=FormatChecker())
        problems += [f"{name}: {error.message}" for error in validator.iter_errors(example)]
    print(json.dumps({"examples": count, "problems": problems}), flush=True)


main()

#!/usr/bin/env python3
"""Writes the table of a version's messages from the JSON schemas that the Open Charge Alliance publishes.

    python3 ocpp/tables/generate.py FOLDER_OF_SCHEMAS > ocpp/src/v1_6/table.rs

The folder holds one file for each message, named after it: `Authorize.json`, `AuthorizeResponse.json`. The schemas
themselves are not ours to hand on; the table is, and a difference in it can be read line by line.

A keyword that this script does not understand ends it: nothing that a schema demands is dropped in silence. Left aside
on purpose: `additionalProperties` (unknown fields are accepted), the words of OPEN_VOCABULARIES (any text will do), and
the format `uri` (a station decides what it can fetch).
"""

import json
import re
import sys
from pathlib import Path

# Words that vendors extend. An unknown one is no violation.
OPEN_VOCABULARIES = {"context", "format", "measurand", "phase", "location", "unit"}

# The written specification of 1.6 asks for at least one entry in these lists (6.31, 7.13, 7.33); its schemas forgot to.
AT_LEAST_ONE = {"chargingSchedulePeriod", "meterValue", "sampledValue"}

UNDERSTOOD = {
    "$schema", "$id", "id", "title", "javaType", "definitions", "$ref",
    "type", "properties", "required", "items", "enum", "format", "maxLength", "minItems", "multipleOf",
    "additionalProperties", "additionalItems",
}  # fmt: skip


class Table:
    """The constants that messages share: objects within them, and long lists of words."""

    def __init__(self):
        self.names = {}  # what a constant says → its name
        self.lines = []

    def fields(self, schema, definitions, indent, owner=None):
        """One line for each field of an object. `owner` is the action where the object is a whole payload."""
        required = set(schema.get("required", []))
        properties = schema.get("properties", {})
        if required - set(properties) or len(properties) > 64:
            sys.exit(f"{owner}: an undefined field is required, or there are more than the 64 that the validator counts")
        for name, field in properties.items():
            rule = self.rule(field, definitions, name, owner)
            yield f'{indent}{"required" if name in required else "optional"}("{name}", {rule}),'

    def rule(self, schema, definitions, name, owner=None):
        if "$ref" in schema:
            definition = definitions[schema["$ref"].removeprefix("#/definitions/")]
            return self.rule(definition, definitions, name, owner)
        refuse_unknown_keywords(schema, name)
        match schema["type"]:
            case "object":
                fields = list(self.fields(schema, definitions, "    "))
                return f'Object({self.constant(name, "Shape", fields)})'
            case "array":
                least = 1 if name in AT_LEAST_ONE else schema.get("minItems")
                kind = {None: "List", 1: "NonEmptyList"}[least]
                return f'{kind}(&{self.rule(schema["items"], definitions, name)})'
            case "string" if "enum" in schema and name in OPEN_VOCABULARIES:
                return "Text"
            case "string" if "enum" in schema:
                return f'OneOf({self.words(schema["enum"], f"{owner}_{name}" if owner else name)})'
            case "string" if schema.get("format") == "date-time":
                return "DateTime"
            case "string" if schema.get("format") in (None, "uri"):
                return f'TextUpTo({schema["maxLength"]})' if "maxLength" in schema else "Text"
            case "integer":
                return "Integer"
            case "boolean":
                return "Boolean"
            case "number" if schema.get("multipleOf") == 0.1:
                return "Tenths"
        sys.exit(f"{name}: no rule for {schema}")

    def words(self, words, name):
        listed = ", ".join(f'"{word}"' for word in words)
        return f"&[{listed}]" if len(listed) < 65 else self.constant(name, "&[&str]", list(wrapped(words)))

    def constant(self, name, kind, lines):
        body = (kind, *lines)
        if body not in self.names:
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
            if name in self.names.values():
                sys.exit(f"two constants would be called {name}")
            self.names[body] = name
            self.lines += ["", f"const {name}: {kind} = &[", *lines, "];"]
        return self.names[body]


def wrapped(words):
    line = "   "
    for word in words:
        if len(line) + len(word) > 110:
            yield line
            line = "   "
        line += f' "{word}",'
    yield line


def refuse_unknown_keywords(schema, where):
    unknown = set(schema) - UNDERSTOOD
    if unknown:
        sys.exit(f"{where}: cannot put {sorted(unknown)} into the table")


def main(folder):
    table = Table()
    arms = []
    paths = sorted(Path(folder).glob("*.json"))
    for path in paths:
        schema = json.loads(path.read_text())
        refuse_unknown_keywords(schema, path.name)
        action = path.stem.removesuffix("Response")
        kind = "Request" if action == path.stem else "Response"
        fields = list(table.fields(schema, schema.get("definitions", {}), " " * 12, action))
        if fields:
            arms += [f'        {kind}("{action}") => const {{ &[', *fields, "        ] },"]
        else:
            arms += [f'        {kind}("{action}") => &[],']
    print(HEAD.replace("COUNT", str(len(paths))).replace("ARMS", "\n".join(arms)))
    print("\n".join(table.lines))


HEAD = """\
//! What the messages of this version may contain: COUNT payloads, field by field.
//!
//! Written by `ocpp/tables/generate.py` from the published schemas; do not edit by hand.

#![cfg_attr(rustfmt, rustfmt_skip)]

use crate::validate::{Message, Message::*, Rule::*, Shape, optional, required};

pub(crate) fn shape(message: Message<'_>) -> Option<Shape> {
    Some(match message {
ARMS
        _ => return None,
    })
}"""

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

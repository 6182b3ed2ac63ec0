#!/usr/bin/env python3
"""Makes valid and invalid payloads for every message and says what a JSON Schema library finds wrong with each.

Prints one line a payload: `1.6 Request Authorize ok {"idTag":"x"}`. In place of `ok` there may be the CALLERROR codes
that the payload deserves, joined by commas in alphabetical order. `published_schemas.rs` compares this with our validator.

The schemas are those inside the PyPI package `ocpp`. Before they judge, they are bent in the points where we decided
otherwise: unknown fields and unknown words about meters are accepted, a date-time may lack its offset, and the lists
that must not be empty by the written specification must not be empty by its schemas either.
"""

import json
import random
import re
from decimal import Decimal
from pathlib import Path

import ocpp
from jsonschema import Draft6Validator, FormatChecker, validators

OPEN_VOCABULARIES = {"context", "format", "measurand", "phase", "location", "unit"}
AT_LEAST_ONE = {"chargingSchedulePeriod", "meterValue", "sampledValue"}
RANDOM_PAYLOADS = 150
CODES = {
    "required": "OccurenceConstraintViolation",
    "minItems": "OccurenceConstraintViolation",
    "type": "TypeConstraintViolation",
    "enum": "PropertyConstraintViolation",
    "format": "PropertyConstraintViolation",
    "maxLength": "PropertyConstraintViolation",
    "multipleOf": "PropertyConstraintViolation",
}

formats = FormatChecker(formats=())


@formats.checks("date-time")
def is_date_time(text):
    return not isinstance(text, str) or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", text)


def is_integer(_checker, value):
    return not isinstance(value, bool) and isinstance(value, (int, Decimal)) and value == int(value)


Validator = validators.extend(
    Draft6Validator, type_checker=Draft6Validator.TYPE_CHECKER.redefine("integer", is_integer)
)


def bend(schema, name=None):
    """Our decisions, applied to a schema, its references resolved on the way."""
    if isinstance(schema, list):
        return [bend(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    bent = {}
    for key, value in schema.items():
        if key in ("additionalProperties", "additionalItems") or (key == "enum" and name in OPEN_VOCABULARIES):
            continue
        if key in ("properties", "definitions"):
            bent[key] = {field: bend(inner, field) for field, inner in value.items()}
        else:
            bent[key] = bend(value)
    if name in AT_LEAST_ONE:
        bent["minItems"] = 1
    return bent


def verdict(validator, text):
    """Every error counts, but a value of the wrong type is not also outside its enumeration."""
    errors = list(validator.iter_errors(json.loads(text, parse_float=Decimal)))
    wrong_type = {tuple(error.path) for error in errors if error.validator == "type"}
    codes = {
        CODES[error.validator]
        for error in errors
        if error.validator == "type" or tuple(error.path) not in wrong_type
    }
    return ",".join(sorted(codes)) or "ok"


class Maker:
    """Makes payloads that match a schema, but for mistakes made with a given probability."""

    def __init__(self, schema, chance):
        self.schema = schema
        self.definitions = schema.get("definitions", {})
        self.chance = chance

    def payload(self, mistakes, optional):
        """`optional`: the probability of an optional field to be there."""
        self.mistakes, self.optional = mistakes, optional
        return self.value(self.schema, top=True)

    def value(self, schema, top=False):
        if "$ref" in schema:
            schema = self.definitions[schema["$ref"].removeprefix("#/definitions/")]
        mistaken = not top and self.chance.random() < self.mistakes
        if mistaken and self.chance.random() < 0.4:
            return self.chance.choice([None, True, -7, 3.25, "text", "", [], [1], {}, {"x": []}])
        match schema["type"]:
            case "object":
                return self.object(schema)
            case "array":
                least = schema.get("minItems", 0)
                count = 0 if mistaken else self.chance.randint(least, 2)
                return [self.value(schema["items"]) for _ in range(count)]
            case "string":
                return self.text(schema, mistaken)
            case "integer":
                return self.chance.choice([2.5, -1e-3] if mistaken else [0, 1, -1, 2**31 - 1, -(2**31), 12.0])
            case "number":
                return self.chance.choice([0.25, 13.333] if mistaken else [0, 16, 16.1, -7.9, 22000.7])
            case "boolean":
                return self.chance.random() < 0.5
        raise NotImplementedError(schema)

    def object(self, schema):
        required = schema.get("required", [])
        members = []
        for name, field in schema.get("properties", {}).items():
            there = 1 - self.mistakes if name in required else self.optional
            if self.chance.random() < there:
                members.append((name, self.value(field)))
        if self.chance.random() < 0.2:
            members.append(("vendorsOwn", {"any": [None, "thing"]}))
        self.chance.shuffle(members)
        return dict(members)

    def text(self, schema, mistaken):
        if "enum" in schema:
            return self.chance.choice(["Nonsense", "", schema["enum"][0].lower() + "?"] if mistaken else schema["enum"])
        if schema.get("format") == "date-time":
            good = ["2026-01-31T09:30:00Z", "2026-01-31T09:30:00.123456+01:00", "1970-01-01T00:00:07"]
            return self.chance.choice(["yesterday", "", "2026-01-31", "2026-01-31T9h"] if mistaken else good)
        longest = schema.get("maxLength", 30)
        length = longest + 1 if mistaken else self.chance.choice([0, 1, longest])
        return "".join(self.chance.choice("aZ0 é\"\\\n\u0000🚗") for _ in range(length))


def main():
    folder = Path(ocpp.__file__).parent / "v16" / "schemas"
    for path in sorted(folder.glob("*.json")):
        schema = bend(json.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal))
        validator = Validator(schema, format_checker=formats)
        maker = Maker(schema, random.Random(path.stem))
        action = path.stem.removesuffix("Response")
        kind = "Request" if action == path.stem else "Response"
        payloads = [maker.payload(mistakes=0, optional=optional) for optional in (0, 1)]
        for mistakes in (0, 0.1, 0.4):
            payloads += [maker.payload(mistakes, optional=0.6) for _ in range(RANDOM_PAYLOADS // 3)]
        for payload in payloads:
            text = json.dumps(payload, ensure_ascii=maker.chance.random() < 0.5)
            print("1.6", kind, action, verdict(validator, text), text)


if __name__ == "__main__":
    main()

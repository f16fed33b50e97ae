"""Published API descriptions (OpenAPI) as jsonschema validators.

Both `openai.yaml` and `discord.json` say 3.1, whose schemas are JSON Schema, but the former still has words of 3.0
(`nullable`, a boolean `exclusiveMinimum`), which would be passed over or misread: they are rewritten on loading. So is
`oneOf`, to `anyOf`.
"""

import functools
import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

SPECS = Path(__file__).parents[2] / "shared" / "specs"
OPENAI = SPECS / "openai.yaml"
DISCORD = SPECS / "discord.json"

_DATA = {"example", "examples", "default", "enum", "const", "x-oaiMeta"}
_NAMES = {"properties", "patternProperties", "schemas", "$defs", "paths", "content", "responses", "parameters"}


class Spec:
    """A description, with the validators made from it so far."""

    def __init__(self, document):
        self.document = document
        resource = Resource(contents=document, specification=DRAFT202012)
        self.registry = Registry().with_resource("urn:spec", resource)
        self.validators = {}

    def validator(self, pointer):
        """The validator of the schema at a JSON pointer; raises LookupError where there is none."""
        if pointer not in self.validators:
            _at(self.document, pointer)
            schema = {"$ref": f"urn:spec#{pointer}"}
            self.validators[pointer] = Draft202012Validator(schema, registry=self.registry)
        return self.validators[pointer]


def load_spec(path):
    """The description at `path`, read once for all tests; skips the test where the file is not there."""
    if not Path(path).exists():
        pytest.skip(f"{Path(path).name} is not here: contract tests need the published API descriptions")
    return _load(Path(path))


def component_validator(spec, name):
    """The validator of a named schema, `components/schemas/<name>`."""
    return spec.validator(f"/components/schemas/{_escape(name)}")


def schema_validator(spec_path, pointer_or_name):
    """The validator of a schema by its name, or by its JSON pointer (with or without a leading `#`)."""
    spec = load_spec(spec_path)
    pointer = pointer_or_name.removeprefix("#")
    return spec.validator(pointer) if pointer.startswith("/") else component_validator(spec, pointer)


def request_body_validator(spec, method, path, content_type=None):
    """The validator of the body of `method` at `path` (a template, or a path as it was called).

    Of several content types, JSON is meant, unless one is named. Raises LookupError where there is no such body.
    """
    template = _template(spec.document["paths"], path)
    pointer = f"/paths/{_escape(template)}/{method.lower()}/requestBody"
    body = _at(spec.document, pointer)
    if "$ref" in body:
        pointer = body["$ref"].removeprefix("#")
        body = _at(spec.document, pointer)
    wanted = content_type or next((kind for kind in body["content"] if kind == "application/json"), None)
    kind = wanted or next(iter(body["content"]))
    return spec.validator(f"{pointer}/content/{_escape(kind)}/schema")


def template_of(spec, method, path):
    """The entry of the description that a call was made to; raises LookupError where there is no such call."""
    template = _template(spec.document["paths"], path)
    if method.lower() not in spec.document["paths"][template]:
        raise LookupError(f"{method} {path}")
    return template


def query_names(spec, method, path):
    """The names that a call's query may have."""
    entry = spec.document["paths"][template_of(spec, method, path)]
    parameters = [*entry.get("parameters", []), *entry[method.lower()].get("parameters", [])]
    resolved = [_at(spec.document, item["$ref"].removeprefix("#")) if "$ref" in item else item for item in parameters]
    return {item["name"] for item in resolved if item["in"] == "query"}


def problems(validator, value):
    """What is wrong with a value, one short line each; empty when it is as described."""
    return [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]


@functools.cache
def _load(path):
    text = path.read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Spec(_modern(json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=loader)))  # noqa: S506 (a safe loader)


def _modern(node, *, names=False):
    """Rewrite what OpenAPI 3.0 says otherwise; `names` means that the keys are names, not keywords."""
    if isinstance(node, list):
        return [_modern(item) for item in node]
    if not isinstance(node, dict):
        return node
    schema = {
        key: value if key in _DATA and not names else _modern(value, names=key in _NAMES and not names)
        for key, value in node.items()
    }
    if names:
        return schema
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(exclusive) is True:
            schema[exclusive] = schema.pop(inclusive)
        elif schema.get(exclusive) is False:
            del schema[exclusive]
    if "oneOf" in schema:
        # The branches overlap (a message with a role and parts is two kinds of input item at once), so that a right
        # value is refused for being right twice.
        schema["allOf"] = [*schema.get("allOf", []), {"anyOf": schema.pop("oneOf")}]
    if schema.pop("nullable", False) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _template(paths, path):
    """The entry of `paths` for a path as it was called; one with fewer placeholders is the better one."""
    steps = path.split("/")
    fitting = [
        template
        for template in paths
        if len(template.split("/")) == len(steps)
        and all(
            ours == theirs or theirs.startswith("{") for ours, theirs in zip(steps, template.split("/"), strict=True)
        )
    ]
    if not fitting:
        raise LookupError(path)
    return min(fitting, key=lambda template: template.count("{"))


def _at(document, pointer):
    node = document
    for step in pointer.split("/")[1:]:
        node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


def _escape(step):
    return step.replace("~", "~0").replace("/", "~1")

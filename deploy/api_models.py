"""Make what the manager has of the service discovery API's document: models of the bodies, and the served document.

    python deploy/api_models.py [FOLDER]

Models come from datamodel-code-generator, unchanged. The served document is the official one in JSON, without its
examples and with what it leaves unsaid: lists and maps that are not required may be null (the service is written in
Go, and a sample of its answers shows it), keys may also come as `Authorization: Bearer`, errors that may occur, and
links from what was made to what may be done with it.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import yaml

ROOT = Path(__file__).resolve().parent.parent
OFFICIAL = ROOT / "manager" / "schema" / "service-discovery-openapi.yaml"
SERVERS = [{"url": "/"}, {"url": "/gateway/servicediscovery"}]
ERRORS = {
    "400": "Malformed request",
    "401": "No or wrong key",
    "403": "The key is of another account, or its scope is not enough",
    "404": "Nothing of that name or id in the tenant",
    "409": "The identity is taken",
    "413": "The body is too large",
    "429": "Too many requests, see Retry-After",
    "503": "Cannot be answered now, see Retry-After",
}
# Operation -> operations that its answer has a parameter of, and where: for tools that follow what they have made.
LINKS = {
    "createAgent": (
        ("getAgent", "updateAgent", "getAgentToken", "getInfrastructureForAgent", "listInstallation", "deleteAgent"),
        {
            "agentIdentity": "$response.body#/identity",
            "accountIdentifier": "$response.body#/accountIdentifier",
            "environmentIdentifier": "$response.body#/environmentIdentifier",
        },
    ),
    "createInstallation": (
        ("getInstallation", "stopOngoingDiscovery"),
        {"installationID": "$response.body#/id"},
    ),
    "createNetworkMap": (
        ("getNetworkMap", "updateNetworkMap", "listDiscoveredServiceForANetworkMap", "deleteNetworkMap"),
        {"networkMapIdentity": "$response.body#/identity"},
    ),
    "createApplicationMap": (
        ("getApplicationMap", "updateApplicationMap", "removeStaleServicesFromApplicationMap", "deleteApplicationMap"),
        {"networkMapIdentity": "$response.body#/identity"},
    ),
    "listDiscoveredService": (
        ("getDiscoveredService", "getServiceForDiscoveredService"),
        {"dsvc_id": "$response.body#/items/0/id"},
    ),
}
GENERATOR = [
    *("--input-file-type", "openapi", "--openapi-scopes", "schemas"),
    *("--output-model-type", "msgspec.Struct", "--target-python-version", "3.11"),
    *("--use-standard-collections", "--use-union-operator", "--snake-case-field"),
    *("--disable-timestamp", "--formatters", "ruff-format"),
]


def without_examples(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The document without its examples, which are the names of the members again."""
    if isinstance(value, dict):
        examples = {"example"} if "properties" in value or value.get("type") == "object" else set()
        return {name: without_examples(one) for name, one in value.items() if name not in examples}
    return [without_examples(one) for one in value] if isinstance(value, list) else value


def allow_nulls(schema: dict[str, Any]) -> None:
    """Let lists and maps that are not required be null."""
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        is_map = member.get("type") == "object" and "additionalProperties" in member
        if name not in required and (is_map or member.get("type") == "array"):
            member["nullable"] = True


def add_links(operation: dict[str, Any]) -> None:
    """Say which operations may follow a success of this one."""
    followers, parameters = LINKS.get(operation["operationId"], ((), {}))
    links = {name: {"operationId": name, "parameters": parameters} for name in followers}
    for code, response in operation["responses"].items():
        if links and code.startswith("2"):
            response["links"] = links


def served_document() -> dict[str, Any]:
    """The official document as the manager serves it."""
    document: dict[str, Any] = without_examples(yaml.load(OFFICIAL.read_bytes(), yaml.CSafeLoader))
    document["servers"] = SERVERS
    components = document["components"]
    components["securitySchemes"]["BearerAuth"] = {"type": "http", "scheme": "bearer"}
    for schema in components["schemas"].values():
        allow_nulls(schema)
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/api.Error"}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["security"] = [{"ApiKeyAuth": []}, {"BearerAuth": []}]
            errors = {code: {"description": text, "content": content} for code, text in ERRORS.items()}
            add_links(operation)
            operation["responses"] = operation["responses"] | errors
    return document


def make(folder: Path) -> None:
    """Write models and document below the folder."""
    # Made elsewhere: the generator formats by the configuration that it finds above its output.
    with TemporaryDirectory() as elsewhere:
        made = Path(elsewhere) / "models"
        made.mkdir()
        command = [sys.executable, "-m", "datamodel_code_generator", "--input", str(OFFICIAL), "--output", str(made)]
        subprocess.run([*command, *GENERATOR], check=True, cwd=elsewhere)
        shutil.copytree(made, folder / "models", dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    (folder / "openapi.json").write_bytes(orjson.dumps(served_document()) + b"\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "manager" / "schema")

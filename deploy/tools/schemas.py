"""JSON schemas for kubeconform: Kubernetes' own, and those of CRDs from their projects' modules.

    python schemas.py OUT CRD.yaml...

writes OUT/KIND-GROUP-VERSION.json, every object closed to fields it does not name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import yaml

KUBERNETES: Final = "v1.34.0-local-strict"
DEFINITIONS: Final = "_definitions.json"
OBJECT_META: Final = "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def main(out: Path, crds: list[Path]) -> None:
    """Write all schemas to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    bundled = Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema" / KUBERNETES
    for path in bundled.glob("*.json"):
        text = path.read_text(encoding="utf-8").replace("/api/_definitions.json", DEFINITIONS)
        schema = json.loads(text)
        # Else references would be taken relative to it.
        schema.pop("$id", None)
        (out / path.name).write_text(json.dumps(schema))
    for path in crds:
        for crd in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            spec = crd["spec"]
            for version in spec["versions"]:
                kind = spec["names"]["kind"].lower()
                group = spec["group"].split(".")[0]
                schema = close(version["schema"]["openAPIV3Schema"])
                name = f"{kind}-{group}-{version['name']}.json"
                (out / name).write_text(json.dumps(schema))


def close(schema: Any) -> Any:
    """Return a schema that rejects unknown fields, which the API server would drop."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: close(value) for key, value in schema.items()}
    if closed.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    fields = closed.get("properties")
    if isinstance(fields, dict) and closed.get("type") == "object":
        # The root's metadata is Kubernetes' own.
        if fields.get("metadata") == {"type": "object"}:
            fields["metadata"] = {"$ref": DEFINITIONS + OBJECT_META}
        if not closed.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    return closed


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])

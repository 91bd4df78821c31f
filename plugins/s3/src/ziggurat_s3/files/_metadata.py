"""What travels with an object: asked for, and said anew by a copy onto itself."""

from __future__ import annotations

from collections.abc import Mapping

from ziggurat_s3.files._copy import copy
from ziggurat_s3.files._records import ObjectInfo
from ziggurat_s3.files._service import Service, Task
from ziggurat_s3.files._upload import Travels

__all__ = ["set_metadata"]


def set_metadata(
    service: Service, task: Task, metadata: Mapping[str, str], content_type: str | None
) -> ObjectInfo:
    """Say all user metadata anew; what else travels with the object stays."""
    with service.told(task):
        Travels(content_type, metadata).check()
    before = service.found(task)
    said = {**before.headers, "Metadata": dict(metadata)}
    if kind := content_type or before.content_type:
        said["ContentType"] = kind
    return copy(service, task, task, said).made

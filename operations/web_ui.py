"""Where a person finds a record's workflow in Temporal's Web UI."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class WebUi:
    """Temporal's Web UI, as people open it.

    Args:
        url: its address, with the path under which it is served, if any.
        namespace: where the workflows live.
    """

    url: str
    namespace: str

    def link(self, workflow_id: str, run_id: str | None = None) -> str:
        """The page of one run; without a run id that of the workflow, which leads to its newest run."""
        parts = [self.namespace, "workflows", workflow_id, *([] if run_id is None else [run_id])]
        return "/".join([self.url.rstrip("/"), "namespaces", *(quote(part, safe="") for part in parts)])

    def search(self, query: str) -> str:
        """The list of the workflows that a query finds."""
        return "/".join([self.url.rstrip("/"), "namespaces", quote(self.namespace, safe=""), "workflows"]) + (
            f"?query={quote(query, safe='')}"
        )

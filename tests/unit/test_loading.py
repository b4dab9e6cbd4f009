"""A process loads its own parts alone: what it does not load it cannot reach, and need not wait for when it starts."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("modules", "never"),
    [
        (("app.main", "app.ingest"), {"sqlalchemy", "aiomysql", "httpx"}),
        (("app.main", "app.produce"), {"sqlalchemy", "aiomysql", "httpx", "uvloop"}),
        (("app.main", "app.worker"), {"starlette", "uvicorn", "sqlalchemy.orm"}),
    ],
    ids=["intake", "produce", "worker"],
)
def test_a_process_loads_no_library_that_only_others_need(modules: tuple[str, ...], never: set[str]) -> None:
    program = f"import sys, {', '.join(modules)}; print(*(sys.modules.keys() & {never!r}))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == []

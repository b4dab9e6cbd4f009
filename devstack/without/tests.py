"""How the ids of the tests begin that find what was taken away."""

from typing import Final

SENDING: Final = "tests/unit/test_sending.py::test_"
LATE: Final = "tests/unit/test_late_evidence.py::test_"
LIVES: Final = "tests/unit/test_stateful.py::TestOneRecord"
DECISIONS: Final = "tests/unit/test_decisions.py::test_"
LEDGER: Final = "tests/integration/test_ledger.py::test_"
REDRIVE: Final = "tests/unit/test_redrive.py::test_"
PROVIDER: Final = "tests/integration/test_provider.py::test_"
FROZEN: Final = "tests/integration/test_provider_frozen.py::test_"
OFFICE: Final = "tests/integration/test_operations.py::test_"
WHOLE: Final = "tests/integration/test_end_to_end.py::test_"
INTAKE: Final = "tests/integration/test_ingest.py::test_"
HELD: Final = "tests/integration/test_ingest_held.py::test_"
OFFSETS: Final = "tests/integration/test_intake_offsets.py::test_"
ALERTS: Final = "tests/integration/test_alerts_live_long.py::test_"
TELLING: Final = "tests/workflow/test_telling.py::test_"

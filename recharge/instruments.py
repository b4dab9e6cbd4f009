"""Everything that is measured of the service, in one table. docs/metrics.md shows it; alerts and dashboards in deploy/ rest on it."""

from recharge.outcome import DEAD_LETTER_STATES, FINAL_STATES, LookupAnswer, Outcome
from recharge.telemetry import Instrument, Kind, Of

_CALL_BUCKETS_S = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 30.0, 60.0, 90.0, 300.0)
"""From a provider in the same house to one that takes a minute and a half; the last is the longest time-out that may be set."""
_LEDGER_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0)
"""A transaction takes a few milliseconds and ends at its time-out of fifteen seconds."""
_RECORD_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)
"""From a record that is carried out at once to one that a person resolves on the next day."""

# --- Every process ----------------------------------------------------------------------------------------------------

BUILD_INFO = Instrument(
    "recharge_build_info",
    Kind.GAUGE,
    Of.ANY,
    "Always 1; its labels say what runs here. The build is that of the worker deployment, empty without one.",
    ("version", "process", "build_id"),
)
READY = Instrument(
    "recharge_ready", Kind.GAUGE, Of.ANY, "1 where this part is as it has to be, as /readyz tells; else 0.", ("part",)
)
STALLED = Instrument(
    "recharge_stalled", Kind.GAUGE, Of.ANY, "1 where a loop of this process does not turn, as /healthz tells; else 0."
)

# --- The intake -------------------------------------------------------------------------------------------------------

PARTITION_LAG = Instrument(
    "recharge_partition_lag_offsets",
    Kind.GAUGE,
    Of.INTAKE,
    "Offsets from the commit offset to the end of the partition: what is not final yet.",
    ("partition",),
)
PARTITION_COMMIT_OFFSET = Instrument(
    "recharge_partition_commit_offset",
    Kind.GAUGE,
    Of.INTAKE,
    "The offset of the lowest record that is not final, below which everything is.",
    ("partition",),
)
PARTITION_OPEN = Instrument(
    "recharge_partition_open_records",
    Kind.GAUGE,
    Of.INTAKE,
    "Records that were read and are not final.",
    ("partition",),
)
PARTITION_BLOCKED = Instrument(
    "recharge_partition_blocked_seconds",
    Kind.GAUGE,
    Of.INTAKE,
    "For how long the record at the commit offset has kept it there; 0 where there is none. "
    "Which record it is, says recharge_partition_commit_offset.",
    ("partition",),
)
PARTITION_OLDEST = Instrument(
    "recharge_partition_oldest_record_seconds",
    Kind.GAUGE,
    Of.INTAKE,
    "Age of the record at the commit offset by its own timestamp; where there is none, the least age of a next record that is not read, "
    "from the alarm's share of the retention on; else 0.",
    ("partition",),
)
PARTITION_FINAL_DISTANCE = Instrument(
    "recharge_partition_final_distance_offsets",
    Kind.GAUGE,
    Of.INTAKE,
    "Offsets from the commit offset to the highest final record.",
    ("partition",),
)
PARTITION_STOPPED = Instrument(
    "recharge_partition_stopped",
    Kind.GAUGE,
    Of.INTAKE,
    "1 for a partition that stands still until a person does something, and why.",
    ("partition", "reason"),
)
TOPIC_RETENTION = Instrument(
    "recharge_topic_retention_seconds",
    Kind.GAUGE,
    Of.INTAKE,
    "After this time Kafka deletes a record, carried out or not; missing where it keeps them for ever.",
)
IN_FLIGHT = Instrument(
    "recharge_records_in_flight", Kind.GAUGE, Of.INTAKE, "Records whose workflow was started and is awaited."
)
IN_FLIGHT_MAX = Instrument(
    "recharge_records_in_flight_max", Kind.GAUGE, Of.INTAKE, "How many there may be (RECHARGE_INGEST__MAX_IN_FLIGHT)."
)
LANES_HELD = Instrument(
    "recharge_lanes_held",
    Kind.GAUGE,
    Of.INTAKE,
    "Records whose workflow ended without a final state (terminated, failed), or whose dead letter is too large: their lane waits.",
)
INTAKE_PAUSED = Instrument(
    "recharge_intake_paused",
    Kind.GAUGE,
    Of.INTAKE,
    "1 for the reason for which nothing new is started, 0 for the others: a person's switch, or too many refusals alike in a row.",
    ("reason",),
)
REFUSED_IN_A_ROW = Instrument(
    "recharge_refused_in_a_row",
    Kind.GAUGE,
    Of.INTAKE,
    "Distinct records that the provider refused one after another with the same status.",
)
WORKFLOW_STARTS = Instrument(
    "recharge_workflow_starts_total",
    Kind.COUNTER,
    Of.INTAKE,
    "Starts by what came of them: started, or duplicate where the workflow was there already.",
    ("result",),
    values=("started", "duplicate"),
)
RECORDS_DONE = Instrument(
    "recharge_records_done_total",
    Kind.COUNTER,
    Of.INTAKE,
    "Records that the intake saw become final, and whose offset may be committed.",
    ("state",),
    values=tuple(sorted(FINAL_STATES)),
)
RECORD_SECONDS = Instrument(
    "recharge_record_seconds",
    Kind.HISTOGRAM,
    Of.INTAKE,
    "From reading a record to its final state, waiting in its lane included.",
    buckets=_RECORD_BUCKETS_S,
)
DEAD_LETTERS = Instrument(
    "recharge_dead_letters_total",
    Kind.COUNTER,
    Of.INTAKE,
    "Dead letters that Kafka acknowledged.",
    ("state",),
    values=tuple(sorted(DEAD_LETTER_STATES)),
)
COMMITS = Instrument(
    "recharge_commits_total",
    Kind.COUNTER,
    Of.INTAKE,
    "Commits by what came of them: done, refused (the partition is somebody else's now), failed (tried again).",
    ("result",),
    values=("done", "refused", "failed"),
)
REBALANCES = Instrument(
    "recharge_rebalances_total", Kind.COUNTER, Of.INTAKE, "Assignments of partitions that this member was given."
)

# --- The workers ------------------------------------------------------------------------------------------------------

ATTEMPTS = Instrument(
    "recharge_attempts_total",
    Kind.COUNTER,
    Of.WORKER,
    "Attempts that ended here, by their outcome. One that died with its process is not among them; the ledger has it.",
    ("outcome",),
    values=tuple(Outcome),
)
PROVIDER_CALL = Instrument(
    "recharge_provider_call_seconds",
    Kind.HISTOGRAM,
    Of.WORKER,
    "The call to the provider, connection and answer included, by its outcome.",
    ("outcome",),
    _CALL_BUCKETS_S,
    tuple(Outcome),
)
CALLS_IN_FLIGHT = Instrument(
    "recharge_provider_calls_in_flight",
    Kind.GAUGE,
    Of.WORKER,
    "Calls that are under way, with the opening and the closing of their attempts.",
)
LOOKUPS = Instrument(
    "recharge_lookups_total",
    Kind.COUNTER,
    Of.WORKER,
    "Look-ups by the provider's answer.",
    ("answer",),
    values=tuple(LookupAnswer),
)
RECORDS_FINAL = Instrument(
    "recharge_records_final_total",
    Kind.COUNTER,
    Of.WORKER,
    "Records that this worker made final in the ledger, and what settled them. A step that is repeated after a crash counts again.",
    ("state", "resolved_by"),
)
CONTRADICTIONS = Instrument(
    "recharge_late_answers_contradicting_total",
    Kind.COUNTER,
    Of.WORKER,
    "Answers that came after another decision and contradict it: a customer may have been charged without a success, or twice.",
)
RECORDS_WAITING = Instrument(
    "recharge_records_waiting", Kind.GAUGE, Of.WORKER, "Records in an open state that waits.", ("state",)
)
RECORDS_WAITING_OLDEST = Instrument(
    "recharge_records_waiting_oldest_seconds",
    Kind.GAUGE,
    Of.WORKER,
    "For how long the oldest of them has been in that state.",
    ("state",),
)
OLDEST_DOUBT = Instrument(
    "recharge_oldest_doubt_seconds",
    Kind.GAUGE,
    Of.WORKER,
    "Age of the oldest attempt of a record that is in doubt or pending, since its opening.",
)
DOUBT_HORIZON = Instrument(
    "recharge_doubt_horizon_seconds",
    Kind.GAUGE,
    Of.WORKER,
    "Age at which the provider forgets: the key's life, or how long references can be looked up. Zero where it offers neither.",
)
PROVIDER_RETRYING = Instrument(
    "recharge_provider_retrying_records",
    Kind.GAUGE,
    Of.WORKER,
    "Records that the provider carries nothing out for, and that are tried again, by the outcome of their newest answered attempt.",
    ("outcome",),
)
LEDGER_TRANSACTION = Instrument(
    "recharge_ledger_transaction_seconds",
    Kind.HISTOGRAM,
    Of.WORKER,
    "Transactions that were committed, from asking for a connection to the commit.",
    buckets=_LEDGER_BUCKETS_S,
)
LEDGER_ERRORS = Instrument(
    "recharge_ledger_errors_total",
    Kind.COUNTER,
    Of.WORKER,
    "Transactions that failed once: for others' locks (contention), for want of an answer (unavailable), or for a reason that no "
    "further try mends (refused).",
    ("kind",),
    values=("contention", "unavailable", "refused"),
)

INSTRUMENTS: tuple[Instrument, ...] = (
    BUILD_INFO,
    READY,
    STALLED,
    PARTITION_LAG,
    PARTITION_COMMIT_OFFSET,
    PARTITION_OPEN,
    PARTITION_BLOCKED,
    PARTITION_OLDEST,
    PARTITION_FINAL_DISTANCE,
    PARTITION_STOPPED,
    TOPIC_RETENTION,
    IN_FLIGHT,
    IN_FLIGHT_MAX,
    LANES_HELD,
    INTAKE_PAUSED,
    REFUSED_IN_A_ROW,
    WORKFLOW_STARTS,
    RECORDS_DONE,
    RECORD_SECONDS,
    DEAD_LETTERS,
    COMMITS,
    REBALANCES,
    ATTEMPTS,
    PROVIDER_CALL,
    CALLS_IN_FLIGHT,
    LOOKUPS,
    RECORDS_FINAL,
    CONTRADICTIONS,
    RECORDS_WAITING,
    RECORDS_WAITING_OLDEST,
    OLDEST_DOUBT,
    DOUBT_HORIZON,
    PROVIDER_RETRYING,
    LEDGER_TRANSACTION,
    LEDGER_ERRORS,
)
"""All of them, in the order in which they are shown."""

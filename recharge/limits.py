"""Every limit of the service in one place, with its reason. Limits that depend on each other are checked at import.

Units stand at the end of the names: `_s` seconds, `_bytes`, `_chars`, `_count` where nothing else would say it.
"""

KIB = 1024
MIB = 1024 * KIB

# --- The record -------------------------------------------------------------------------------------------------------

RECORD_BYTES_MAX = 512 * KIB
"""Key and value together that travel in a workflow's input. Temporal refuses inputs above 2 MiB; base64 adds a third, the
decoded fields stand beside it, and 1.4 MB of raw bytes was seen to start where 1.6 MB did not."""

CUT_RECORD_BYTES = 64 * KIB
"""How much of a record above RECORD_BYTES_MAX is kept in its workflow and its row; the dead letter has it whole."""

JSON_DEPTH_MAX = 32
"""Deeper nesting is refused: no top-up needs it, and Python's parser would end in a RecursionError near a thousand."""

PHONE_DIGITS_MIN = 5
PHONE_DIGITS_MAX = 15
"""E.164 allows 15 digits; short codes have five and more."""

AMOUNT_INTEGER_DIGITS_MAX = 15
AMOUNT_FRACTION_DIGITS_MAX = 4
"""What DECIMAL(19,4) holds without rounding."""

TEXT_FIELD_CHARS_MAX = 255
"""The longest of the optional text fields (requestId, operationDate, …) that the ledger or a header has to carry."""

CURRENCY_CHARS_MAX = 16
"""ISO 4217 has three letters; loyalty and airtime units have longer names."""

# --- Names ------------------------------------------------------------------------------------------------------------

SOURCE_CHARS_MAX = 64
TOPIC_CHARS_MAX = 249
"""Kafka's own limit."""

WORKFLOW_ID_CHARS_MAX = 400
"""source, topic, partition (10 digits), offset (19 digits) and three colons. Temporal allows 1,000 by default."""

REFERENCE_CHARS_MAX = 255
"""The longest provider reference that is kept; longer ones are cut, since they only serve people."""

NAME_CHARS_MAX = 255
"""The longest name of a person who decides."""

REASON_CHARS_MAX = 1000
"""The longest reason or error text that the ledger keeps."""

STORY_STEPS_MAX = 20
"""How many of its newest steps a workflow's page tells. Retries are no steps, so only a record about which people decided again and
again has more; `recharge show` has them all."""

# --- The provider's call ----------------------------------------------------------------------------------------------

ANSWER_BYTES_MAX = 256 * KIB
"""A longer answer is cut off and unknown: no provider needs it, and it would fill the memory."""

CALLS_IN_FLIGHT_MAX = 150
"""Concurrent calls of one process. Each holds a socket and a task slot; more than this only queues at the provider."""

CALL_TIMEOUT_S_MIN = 1.0
CALL_TIMEOUT_S_MAX = 300.0
"""One provider is known to take 90 s for an answer; five minutes leave room and still end."""

DEADLINE_GRACE_S = 1.0
"""How long after an attempt's deadline nobody decides anything about it: MySQL's clock and the call's own one may differ by
the round trip of the opening transaction, never by this much."""

CERTIFICATE_BELIEVED_S = 60.0
"""How long connections go on with the TLS session of one whose certificate was looked at. One that was replaced or revoked is noticed by
then; at two calls a second all but one in a hundred are spared the look."""

KEY_MARGIN_S = 60.0
"""How long before an idempotency key's end it is no longer relied on: the provider's clock and ours may differ by this much."""

LOOKUP_TIMEOUT_S = 15.0
"""The whole of one look-up. It is a read: giving up costs nothing but another question."""

# --- Retries ----------------------------------------------------------------------------------------------------------

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 60.0
RETRY_COEFFICIENT = 2.0
"""The backoff of a recharge that was not sent or not charged. It has no limit on attempts: the record waits for its provider."""

RETRY_AFTER_S_MAX = 3600.0
"""The longest Retry-After that is obeyed. A provider that asks for a day is asked again after an hour."""

LOOKUP_INTERVAL_S_MAX = 900.0
"""The widest gap between two look-ups, and between two looks into the ledger by a record in doubt is LEDGER_POLL_S_MAX."""

LOOKUP_COEFFICIENT = 2.0

LEDGER_POLL_FIRST_S = 1.0
LEDGER_POLL_S_MAX = 30.0
"""How often a record in doubt looks for a late answer or a decision in the ledger. A look costs one query."""

# --- Temporal ---------------------------------------------------------------------------------------------------------

DEAD_WORKER_S_MAX = 5.0
"""The longest that a dead worker may go unnoticed, since its record's lane waits."""

HEARTBEAT_TIMEOUT_S = 4.0
HEARTBEAT_INTERVAL_S = 1.0
HEARTBEAT_THROTTLE_S = 2.0
"""A regular activity's dead worker is found within HEARTBEAT_TIMEOUT_S. The SDK sends one of our heartbeats every
HEARTBEAT_THROTTLE_S at most: each is a call to the server, and two of them fit into the time-out."""

ACTIVITY_SLACK_S = 30.0
"""What an activity may take beyond the provider's call: opening and closing the attempt in a slow ledger."""

RECORD_RESULT_TIMEOUT_S = 60.0
"""Start-to-close of `record_result`, which is one transaction; it retries for as long as it takes."""

WORKFLOW_TASK_TIMEOUT_S = 3.0
"""How long a dead worker's workflow task goes unnoticed. The SDK renews it after four fifths while a local activity runs in it, however
long that takes; a machine must not stand still for the fifth that is left."""

LOCAL_CALL_S_MAX = 1.5
"""How long a first attempt stays in its workflow task. A call that takes longer goes on without it, and a regular activity waits for its
end, which everybody can see. Half of the task's time is left for a busy machine to say so."""

ANSWER_POLL_S = 1.0
"""How often the ledger is asked for the end of a call that another worker makes. A look costs one query."""

WORKFLOW_TASKS_IN_FLIGHT_MAX = 50
"""Workflow tasks of one worker at the same time. The first attempt runs inside one, so this many records are begun together; the time-out
of a task counts from its start, and a machine that does this many in less than half of it never meets it."""

LOCAL_CALLS_MAX = 30
"""Calls of one worker that may be in flight before a first attempt goes by the task queue instead of inside its workflow task. A slow
provider would fill every slot else, and a person's decision would wait behind it."""

BEGINNINGS_MAX = 15
BEGINNING_S_MAX = 5.0
"""Records of an intake with a worker in its process that may be between their start and the leaving of their first call: enough to
keep a few processors busy, few enough to leave workflow tasks free, without which a start is not eager. What the worker has not told
about in BEGINNING_S_MAX counts no longer: where the tasks go to other processes, three records a second are started all the same."""

RUN_BEGINS_WITHIN_S = 0.5
RUN_ENDS_WITHIN_S = 5.0
"""How long an intake waits for a worker in its process to tell a workflow's end, before it asks Temporal for the result. Where the worker
has not even begun with the workflow in RUN_BEGINS_WITHIN_S, another process has it; above what an eager start takes on a busy machine.
A call that takes longer than RUN_ENDS_WITHIN_S costs enough for one question more, and what went wrong meanwhile is found by it."""

LOCAL_ACTIVITIES_IN_FLIGHT_MAX = 50
"""Every workflow task runs one local activity at a time, so none ever waits for a slot."""

DECISION_TIMEOUT_S = 10.0
"""How long a command waits for the workflow to take a person's decision. The decision stands in the ledger by then."""

STICKY_TIMEOUT_S = 2.0
"""How long a workflow task waits for the worker that knows its workflow, before any worker may have it. A killed worker costs
each of its records this much once; a busy one only a replay."""

ACTIVITIES_IN_FLIGHT_MAX = 100
"""Activity slots of one worker. A record in doubt holds none between two looks."""

WORKFLOWS_CACHED_MAX = 2000
"""Sticky workflows of one worker. An evicted one is replayed from at most a few dozen events."""

PAYLOAD_BYTES_MAX = 2 * MIB
"""Temporal's own limit for one payload."""

PAYLOAD_KEYS_MAX = 16
PAYLOAD_KEY_ID_CHARS_MAX = 64
"""Keys that encrypt payloads, and the longest id of one, which stands beside everything that it encrypted."""

CODEC_TOKEN_CHARS_MIN = 24
"""The shortest token of the codec server. Whoever has it reads every number in Temporal, so it is drawn at random and not thought up."""

CODEC_BODY_BYTES_MAX = 16 * MIB
"""The longest request to it. The Web UI sends a page of a history, which has 4 MiB at most and is a third longer in base64, twice."""

CODEC_REQUESTS_MAX = 8
"""Requests to it at a time. Each may hold its body, its payloads and its answer in memory; more are told to come again."""

CODEC_BODY_TIMEOUT_S = 30.0
"""How long a body may take to arrive, so that nobody holds one of these places by sending nothing."""

PAYLOAD_OVERHEAD_BYTES = 512
"""What encryption adds to a payload: the id and the names in its metadata, a nonce of 12 bytes and a tag of 16. 150 were seen."""

SEARCH_ATTRIBUTE_CHARS_MAX = 255
"""What a Keyword search attribute holds."""

RPC_TIMEOUT_S = 10.0
"""One call to Temporal's front end, long polls for results excepted."""

# --- The ledger -------------------------------------------------------------------------------------------------------

LEDGER_CONNECTIONS_MAX = 20
"""Connections of one process. Transactions are a few milliseconds long, so this serves several hundred records a second."""

LEDGER_CONNECT_TIMEOUT_S = 10.0
LEDGER_TRANSACTION_TIMEOUT_S = 15.0
"""One transaction, all its statements and its commit. Above InnoDB's lock wait, so that MySQL's own answer comes first."""

LEDGER_LOCK_WAIT_S = 5
"""innodb_lock_wait_timeout of our sessions: whole seconds, as MySQL has it."""

LEDGER_SILENCE_S = 20
"""wait_timeout of our sessions, in whole seconds: MySQL ends one that says nothing for so long, and frees what it holds. A machine that
loses its power or its way to MySQL says nothing to it, and its last transaction would hold a record for MySQL's own eight hours."""

LEDGER_IDLE_S_MAX = 15.0
"""A connection that nobody used for longer is replaced instead of used: MySQL may have ended it, or be about to."""

LEDGER_TRIES_MAX = 5
"""How often a transaction is tried again after a deadlock or a lost connection, before Temporal retries the activity."""

LEDGER_OPENING_S_MAX = 3.0
LEDGER_OPENING_PAUSE_S = 0.25
"""For how long, and how often beyond those tries, a worker goes on opening an attempt under the same token while the ledger is away: longer
than a restart of MySQL. What takes longer is tried again by Temporal, which shows what it waits for."""

LEDGER_RETRY_FIRST_S = 0.05

ALARM_INTERVAL_S = 15.0
"""How often the waiting records are counted: the usual interval at which metrics are read."""

WAITING_LOOK_AGE_S_MAX = 3 * ALARM_INTERVAL_S
"""What is known of waiting records from an older look is not told: a wrong number of them would be believed."""
FINAL_COUNT_MARGIN_S = 3600
"""Records that became final longer ago than this are added to the total for good. Far above a transaction's time-out, and above any step
back of MySQL's clock at a fail-over: a record that became final before must not be seen only later."""

FINAL_COUNT_STEP_S = 3600
"""How much of the past is added at once: an hour of a thousand records a second is counted within a transaction's time-out."""

FINAL_COUNT_STEPS_MAX = 100
"""Steps after each look of the alarms, so that a ledger that was never counted is caught up with while everything else goes on."""

DEPLOYMENT_POLL_S = 2.0
"""How often a worker of a deployment asks whether its build is current: a person who has just made it so watches the log."""

HORIZON_ALARM_SHARE = 0.5
"""At this share of the key's life, or of the time for which references can be looked up, a doubt becomes an alarm."""

# --- Kafka ------------------------------------------------------------------------------------------------------------

KAFKA_REQUEST_TIMEOUT_S = 20.0
KAFKA_SESSION_TIMEOUT_S = 10.0
KAFKA_HEARTBEAT_INTERVAL_S = 3.0
"""Kafka's own advice: at most a third of the session time-out."""

KAFKA_MAX_POLL_INTERVAL_S = 300.0
KAFKA_POLL_S = 0.2
"""How long one poll waits for records. It bounds how late a pause, a resume or a stop is noticed."""

KAFKA_JOINING_POLL_S = 0.05
"""The same while partitions are awaited: what was assigned during a poll is read by the next one only."""

KAFKA_CALL_TIMEOUT_S = 30.0
"""The deadline around every aiokafka call, some of which would otherwise wait without limit."""

KAFKA_FETCH_WAIT_S = 0.1
"""How long a broker holds a fetch that finds nothing. aiokafka has one fetch under way at each broker, and a partition that was just read
from is only in the next one: so long at most a new record of it lies unseen. Half a second showed in the latency of one record in ten."""

TLS_CLOSE_TIMEOUT_S = 0.5
"""How long a connection to Kafka or MySQL that this side has closed waits for the other side's close. What counts was acknowledged before,
and a broker that holds a fetch answers it first."""

KAFKA_WATCH_INTERVAL_S = 3.0
KAFKA_WATCH_TIMEOUT_S = 5.0
"""How often the cluster is asked whether it answers at all, and how long it may not do so before the log says so. A broker that is slow
answers sooner, and where one of several is away, another does."""

END_OFFSETS_INTERVAL_S = 5.0
"""How often the partitions' ends are asked for, from which the lag is told: several times between two readings of the metrics."""

FETCH_BYTES_MAX = 1 * MIB
"""Per partition and fetch; the broker sends one larger record all the same."""

BUFFERED_RECORDS_MAX = 500
"""Records of one partition fetched and not final; the partition is paused above it and resumed at the half."""

BUFFERED_RECORDS_IN_ALL_MAX = 20_000
"""The same over all partitions of one ingester, in equal shares: with more than forty partitions each has a smaller one. A small record
takes some 3 KiB of memory, so this is at most 60 MiB; it is twice what may be in flight."""

BUFFERED_BYTES_MAX = 32 * MIB
"""Keys, values and headers over all partitions of one ingester, in equal shares. One fetch more may be there beyond it."""

COMMIT_METADATA_CHARS_MAX = 4096
"""What a broker keeps beside a committed offset (offset.metadata.max.bytes) unless it was configured otherwise."""

FINAL_DISTANCE_MAX = 100_000
"""Offsets between the commit offset of a partition and its highest final record. It bounds what a restart reads again, behind a
record that blocks the commit offset for long; at the bound the partition is not read."""

RETENTION_ALARM_SHARE = 0.5
"""At this share of the topic's retention.ms the age of the record at the commit offset, or of the next one where none is read, becomes an
alarm: Kafka is about to delete records that were not carried out."""

RETENTION_CHECK_INTERVAL_S = 60.0
"""How often that is looked at. Retention is counted in hours, and Kafka looks itself every five minutes."""

COMMIT_INTERVAL_S = 0.2
"""How long a final record may wait for its commit, so that many share one."""

IN_FLIGHT_DEFAULT = 500
IN_FLIGHT_MAX = 10_000
"""Workflows that one ingester awaits at the same time. Each holds a long poll on Temporal's connection."""

PAUSE_POLL_S = 1.0
"""How late an ingester may notice that its intake was paused or resumed. A look costs one quick call to Temporal."""

REFUSED_IN_A_ROW_DEFAULT = 20
REFUSED_IN_A_ROW_MAX = 10_000
"""Distinct records that the provider may refuse one after another with the same status before the intake pauses itself: by chance that
is rare, after a wrong URL it is certain. Beyond ten thousand the guard would guard nothing."""

HELD_LANE_POLL_S = 5.0
"""How often the ingester looks at a workflow that was terminated or failed, while its lane is held."""

STOP_TIMEOUT_S = 20.0
"""How long a stopping ingester waits for records in flight, before it commits what is final and leaves the rest to its successor."""

START_RETRY_FIRST_S = 0.5
START_RETRY_MAX_S = 15.0
"""The backoff while a server is not there yet, at start or on a bad day."""

# --- The replay -------------------------------------------------------------------------------------------------------

REPLAY_HISTORY_BYTES_MAX = 64 * MIB
"""The longest file with one history. Some 20 KB are usual; one with many activities over the largest record has tens of MiB."""

REPLAY_FETCHED_MAX = 4
"""Histories fetched ahead of the one that is replayed. A fetch is quicker than a replay, and each held one takes memory."""

REPLAY_HISTORIES_DEFAULT = 1000
REPLAY_HISTORIES_MAX = 100_000
"""Histories of one query. A hundred a second were seen to replay, so the default takes a quarter of a minute."""

REPLAY_TIMEOUT_S = 30.0
"""How long one replay may take. The SDK ends a workflow task that hangs after 2 s, and a thousand events replay in a second."""

# --- Metrics and health -----------------------------------------------------------------------------------------------

READY_SILENCE_S = 10.0
"""A server that the intake has heard nothing from for so long is told as away. Temporal is asked once a second, Kafka every few; a busy
machine may miss some of these."""

READY_LOOK_INTERVAL_S = 2.0
READY_LOOK_TIMEOUT_S = 4.0
"""How often a worker asks Temporal and the ledger whether it can work, and how long an answer may take. Below READY_SILENCE_S together, so
that both halves of the service tell the same in the same time."""

POLL_LASTS_S = 75.0
"""One poll of a task queue, at most, with what it takes to begin the next. A worker that was not seen for longer may be dead."""

POLLER_SEEN_S = 180.0
"""Temporal lists who polls a queue, and when it did so last, for five minutes. Who was not seen for longer than this is told no more."""

LOOP_STALLED_S = 120.0
"""The intake's loop comes round several times a second, and more slowly in a rebalance over many partitions. When it has not for so long,
it hangs, and only a restart helps."""

STATUS_PART_TIMEOUT_S = 15.0
"""How long `recharge status` waits for what Kafka, the ledger or Temporal has to tell. Each takes a second at most where it is well, and
whoever asks in an outage needs the others' answers at once."""

STATUS_UNCOMMITTED_S = 30.0
"""A record that is final is committed within a second or two. One that is not after so long waits for something that the intake knows."""

STATUS_WATCH_S = 2.0
"""How often `recharge status --watch` looks. A look costs a few questions to each server."""

HTTP_CONNECTIONS_MAX = 20
"""Open connections to the address of metrics and health. Prometheus and a probe are two."""

HTTP_HEAD_BYTES_MAX = 64 * KIB
"""The longest head of a request."""

HTTP_IDLE_S = 30
"""How long a connection may be kept open without a request: whole seconds, as the server has it."""

HTTP_STOP_S = 2
"""How long an answer that is under way at the end is waited for: whole seconds, as the server has it."""

# --- Redaction --------------------------------------------------------------------------------------------------------

REDACT_DAYS_MIN = 1
REDACT_DAYS_MAX = 36_500
"""The youngest and the oldest final records that `recharge redact` may be about. Those of today are what operators still look at."""

REDACTED_AT_A_TIME = 500
"""Records of one of its transactions: tens of milliseconds, so the service's own transactions hardly wait, and few locks are held."""
ARCHIVED_AT_A_TIME = 100
"""The same where they are archived first: whole records are in memory meanwhile, in several shapes, of up to half a MiB each."""

# --- The log ----------------------------------------------------------------------------------------------------------

LOG_REPEAT_S = 300.0
LOG_KIND_CHARS = 80
"""How long a library's line is not told again, and by how much of its text it is known. What is wrong is said in our own words."""

# --- The traces -------------------------------------------------------------------------------------------------------

TRACES_QUEUED_SPANS_MAX = 4096
"""Spans that wait to be sent, about ten of each record. More are dropped: traces must never hold up money, nor fill the memory."""

TRACES_FLUSH_S = 3.0
"""How long a process that ends waits for its last spans to be taken. A collector that is away must not hold up a deployment."""

# --- The audit --------------------------------------------------------------------------------------------------------

AUDIT_FINDINGS_MAX = 10_000
"""Violations, and notes, that one audit keeps to tell them. The rest is counted: so many have one cause, and a list would not show it."""

AUDIT_RECHECK_COUNT = 500
"""Records that an audit reads again at a time, where what it saw may only have been a moment's."""

AUDIT_LANE_OFFSETS = FINAL_DISTANCE_MAX
"""For how many offsets an audit remembers a lane at least. Nothing is started FINAL_DISTANCE_MAX beyond a record that is not final, so
what is forgotten was final before anything that is read now was started."""

AUDIT_CLOCKS_S = 86_400.0
"""By how much the clock of a producer may be ahead of MySQL's: an audit of a period reads nothing that came to the topic so much before it.
Kafka itself refuses a record that is an hour ahead, where nobody has changed message.timestamp.after.max.ms."""

AUDIT_WORKFLOWS_PAGE = 1000
"""Workflows of one page of Temporal's list: its own usual maximum."""

AUDIT_PAGE_TIMEOUT_S = 60.0
"""One such page. A visibility store that is written to all the time may take longer than other answers, and an audit is in no hurry."""

STATEMENT_BYTES_MAX = 4096 * MIB
"""The longest statement that is fetched. A charge is a line of about 120 bytes, so this is some 30 million of them."""

STATEMENT_LINE_BYTES_MAX = 4 * KIB
"""The longest line of a statement: a reference has 400 bytes at most, and the other fields are short."""

STATEMENT_AMOUNT_DIGITS_MAX = 24
"""The most digits before the point of a charge's amount. No record may ask for so many, and Decimal, which counts 28 digits in all, still
tells such an amount with its cents."""

STATEMENT_TIMEOUT_S = 600.0
"""Fetching the whole statement. Providers compute them while one waits."""

STATEMENT_IDLE_S = 60.0
"""How long the provider may send nothing of it."""


def _check(condition: bool, rule: str) -> None:  # noqa: FBT001  # the condition is the argument
    if not condition:
        raise AssertionError(f"recharge/limits.py contradicts itself: {rule}")


_check(
    RECORD_BYTES_MAX * 4 // 3 * 2 + PAYLOAD_OVERHEAD_BYTES < PAYLOAD_BYTES_MAX,
    "a record in base64 must leave room for its decoded fields and for its encryption in a payload",
)
_check(CUT_RECORD_BYTES < RECORD_BYTES_MAX, "a cut record must be smaller than the limit that it exceeded")
_check(HEARTBEAT_THROTTLE_S * 2 <= HEARTBEAT_TIMEOUT_S, "two heartbeats must fit into the heartbeat time-out")
_check(HEARTBEAT_INTERVAL_S <= HEARTBEAT_THROTTLE_S, "a heartbeat must be there when the SDK may send one")
_check(HEARTBEAT_TIMEOUT_S <= DEAD_WORKER_S_MAX, "a dead worker must be found within five seconds")
_check(LEDGER_LOCK_WAIT_S < LEDGER_TRANSACTION_TIMEOUT_S, "MySQL must give up a lock before we give up the transaction")
_check(
    LEDGER_TRANSACTION_TIMEOUT_S < LEDGER_SILENCE_S, "MySQL must not end a session whose transaction may still go on"
)
_check(
    2 * LOCAL_CALL_S_MAX <= WORKFLOW_TASK_TIMEOUT_S,
    "a slow call must leave its workflow task before that has to be renewed, on a busy machine too",
)
_check(LEDGER_IDLE_S_MAX < LEDGER_SILENCE_S, "a connection must be used or replaced before MySQL ends it")
_check(LEDGER_TRANSACTION_TIMEOUT_S < ACTIVITY_SLACK_S, "an activity must outlast one transaction beyond its call")
_check(
    LEDGER_TRANSACTION_TIMEOUT_S * LEDGER_TRIES_MAX < FINAL_COUNT_MARGIN_S,
    "what is counted for good must have been committed",
)
_check(
    LOCAL_CALLS_MAX + BEGINNINGS_MAX < WORKFLOW_TASKS_IN_FLIGHT_MAX,
    "calls and beginnings must leave workflow tasks free for decisions",
)
_check(
    WORKFLOW_TASKS_IN_FLIGHT_MAX <= LOCAL_ACTIVITIES_IN_FLIGHT_MAX,
    "every workflow task must find a slot for its local activity",
)
_check(
    LOCAL_CALLS_MAX + ACTIVITIES_IN_FLIGHT_MAX <= CALLS_IN_FLIGHT_MAX,
    "every activity must find a socket for its call",
)
_check(WORKFLOW_TASK_TIMEOUT_S <= DEAD_WORKER_S_MAX, "a dead worker must be found within five seconds")
_check(
    KAFKA_HEARTBEAT_INTERVAL_S * 3 <= KAFKA_SESSION_TIMEOUT_S, "three heartbeats must fit into Kafka's session time-out"
)
_check(KAFKA_FETCH_WAIT_S < TLS_CLOSE_TIMEOUT_S, "a broker that holds a fetch must see the close in time")
_check(KAFKA_REQUEST_TIMEOUT_S < KAFKA_CALL_TIMEOUT_S, "a request must time out before the call around it")
_check(
    SOURCE_CHARS_MAX + TOPIC_CHARS_MAX + 10 + 19 + 3 <= WORKFLOW_ID_CHARS_MAX,
    "every position must fit into a workflow id",
)
_check(TOPIC_CHARS_MAX <= SEARCH_ATTRIBUTE_CHARS_MAX, "every topic must fit into its search attribute")
_check(RETRY_FIRST_S <= RETRY_MAX_S <= RETRY_AFTER_S_MAX, "the backoff must widen towards its limit")
_check(
    SOURCE_CHARS_MAX + TOPIC_CHARS_MAX + 10 + 19 + 3 + 100 <= COMMIT_METADATA_CHARS_MAX,
    "a commit's metadata must have room for its position and some ranges",
)
_check(
    BUFFERED_RECORDS_MAX <= FINAL_DISTANCE_MAX,
    "a partition must be able to fill its buffer before the final distance stops it",
)
_check(
    max(BUFFERED_RECORDS_MAX, IN_FLIGHT_MAX) <= BUFFERED_RECORDS_IN_ALL_MAX,
    "the partitions together must have room for as many records as may be in flight",
)
_check(
    max(FETCH_BYTES_MAX, RECORD_BYTES_MAX) <= BUFFERED_BYTES_MAX,
    "what one fetch of a partition finds must have room in the buffer",
)
_check(
    KAFKA_SESSION_TIMEOUT_S < KAFKA_MAX_POLL_INTERVAL_S,
    "a member must be given up for its silence before it is given up for reading nothing",
)
_check(
    KAFKA_WATCH_INTERVAL_S + KAFKA_WATCH_TIMEOUT_S < READY_SILENCE_S,
    "an outage of Kafka must be told as soon as one of Temporal",
)
_check(
    READY_LOOK_INTERVAL_S + READY_LOOK_TIMEOUT_S < READY_SILENCE_S,
    "a worker must have asked before its last answer is too old",
)
_check(KAFKA_CALL_TIMEOUT_S * 2 < LOOP_STALLED_S, "a loop that waits for Kafka must not be taken for one that hangs")
_check(POLL_LASTS_S < POLLER_SEEN_S, "a worker must be told as not seen before it is told no more")
_check(KAFKA_POLL_S < KAFKA_HEARTBEAT_INTERVAL_S, "a poll must be over before the next heartbeat is due")
_check(
    KAFKA_JOINING_POLL_S < KAFKA_POLL_S,
    "partitions that were assigned must be seen sooner than records that are not there",
)
_check(START_RETRY_FIRST_S <= START_RETRY_MAX_S, "the wait for a server must widen towards its limit")
_check(
    KAFKA_WATCH_TIMEOUT_S < KAFKA_SESSION_TIMEOUT_S, "the log must say that Kafka is away before the session has ended"
)

"""Safeguards of the intake and of identity: order, offsets, duplicates, sizes."""

from typing import Final

from devstack.without import weakened
from devstack.without.safeguard import quick, slow
from devstack.without.weakened import NOTHING, YES, returning

_SENDING: Final = "tests/unit/test_sending.py::test_"
_LEDGER: Final = "tests/integration/test_ledger.py::test_"
_INTAKE: Final = "tests/integration/test_ingest.py::test_"
_HELD: Final = "tests/integration/test_ingest_held.py::test_"
_OFFSETS: Final = "tests/integration/test_intake_offsets.py::test_"

INTAKE: Final = (
    slow(
        "dead-letter-first",
        "becoming final",
        "an offset is committed before Kafka has acknowledged the dead letter",
        "ingest.dead_letters.DeadLetters.publish",
        returning(weakened.not_awaited),
        f"{_INTAKE}an_offset_is_committed_only_after_its_dead_letter_is_acknowledged",
        runs_max=5,
    ),
    slow(
        "newest-run",
        "becoming final",
        "a run that a reset has ended is looked at for ever",
        "ingest.starter.Starter._newer_run",
        returning(weakened.same_run),
        f"{_HELD}a_reset_while_the_result_is_awaited_is_followed_without_holding_the_lane",
    ),
    slow(
        "reject-duplicate",
        "becoming final",
        "a record that is read again after its workflow has ended is started again",
        "ingest.starter.Starter._start",
        returning(weakened.start_duplicates),
        f"{_INTAKE}records_that_are_read_again_attach_to_their_workflows",
    ),
    quick(
        "lane-waits",
        "order",
        "a record starts while an earlier one of its lane is not final",
        "ingest.lanes.Lanes.add",
        returning(weakened.no_lanes),
        "tests/unit/test_lanes.py::TestLanesAgainstTheModel",
    ),
    quick(
        "numbers-by-digits",
        "identity",
        "a number with a leading + is another customer's",
        "recharge.privacy.phone_digits",
        returning(lambda _, number: number),
        "tests/unit/test_lanes.py::test_account_order_compares_numbers_by_their_digits_whoever_pays",
    ),
    quick(
        "final-before-commit",
        "offsets",
        "the offset of a record that is not final is committed",
        "ingest.commit_offset.PartitionProgress.commit_offset",
        lambda _: property(lambda self: self.position),
        "tests/unit/test_commit_offset.py::test_records_that_became_final_in_any_order_are_passed_together_and_those_after_them_too",
    ),
    slow(
        "read-committed",
        "offsets",
        "records of aborted transactions are carried out",
        "ingest.kafka.reader.RecordReader.__init__",
        returning(weakened.uncommitted_too),
        f"{_INTAKE}a_transactions_gaps_are_passed_and_aborted_records_never_start",
    ),
    quick(
        "metadata-place",
        "offsets",
        "the completed ranges of a mirrored cluster are believed",
        "ingest.commit_metadata.decode",
        returning(weakened.believed_anywhere),
        "tests/unit/test_commit_metadata.py::test_metadata_of_another_place_is_ignored_and_said_to_be_so",
    ),
    quick(
        "metadata-digest",
        "offsets",
        "a completed range is believed though its records are others now",
        "ingest.commit_offset.PartitionProgress._agrees_with",
        YES,
        "tests/unit/test_commit_offset.py::test_where_a_range_disagrees_its_records_are_read_again_and_started",
    ),
    slow(
        "first-offsets",
        "offsets",
        "a group that lost its offsets begins before where its intake had begun",
        "ingest.first_start.first_offsets",
        returning(weakened.nothing_recorded),
        f"{_OFFSETS}a_group_that_lost_its_offsets_begins_where_it_began_and_attaches",
    ),
    quick(
        "assignment-epoch",
        "offsets",
        "what was found out for an assignment that is over is put into effect",
        "ingest.assignment.Assignment._begin",
        returning(weakened.under_any_epoch),
        "tests/unit/test_intake_assignment.py::test_what_was_begun_under_an_older_assignment_has_no_effect",
    ),
    slow(
        "offset-out-of-range",
        "offsets",
        "where the topic does not hold the committed offset any more, what is left is read",
        "ingest.consumer.Membership._stop_out_of_range",
        returning(weakened.read_on_elsewhere),
        f"{_HELD}a_committed_offset_that_the_topic_does_not_hold_stops_its_partition_alone",
    ),
    slow(
        "fingerprint-of-the-workflow",
        "identity",
        "a workflow of the same id is taken for the record's own, whatever record it was started for",
        "ingest.starter._refuse_another",
        NOTHING,
        f"{_HELD}another_record_at_the_same_position_stops_its_partition_alone",
    ),
    slow(
        "content-digest",
        "identity",
        "a record that another source has carried out is carried out again",
        "activities.ledger.obstacles._twin",
        NOTHING,
        f"{_LEDGER}the_same_content_under_another_source_is_held_and_a_person_releases_it",
    ),
    slow(
        "claim",
        "identity",
        "a request that was produced twice is carried out twice",
        "activities.ledger.obstacles.claim",
        NOTHING,
        f"{_LEDGER}of_many_records_with_one_request_id_at_once_one_is_sent",
    ),
    quick(
        "claim-is-kept",
        "identity",
        "a skipped record frees its claim although it may have been carried out",
        "recharge.sending.frees_its_claim",
        YES,
        f"{_SENDING}a_claim_is_freed_by_a_record_that_surely_carried_nothing_out",
        "tests/unit/test_stateful.py::TestOneRequest",
    ),
    slow(
        "stale-is-held",
        "identity",
        "a record that is older than allowed is sent",
        "activities.ledger.obstacles.stale",
        NOTHING,
        f"{_LEDGER}a_stale_record_is_held_before_it_is_sent",
    ),
    quick(
        "record-is-cut",
        "sizes",
        "a record above the limit travels whole, and its workflow cannot be started",
        "recharge.record._cut",
        returning(lambda _, key, value: (key, value)),
        "tests/unit/test_record.py::test_a_record_at_the_size_limit_is_read_and_one_byte_more_is_cut_but_told_whole",
    ),
)

"""By what a record's workflow is found, and what a list shows of it: search attributes and the one-line summary. Pure."""

from collections.abc import Sequence

from temporalio.common import SearchAttributePair, TypedSearchAttributes

from recharge import contract
from recharge.contract import RecordInput
from recharge.outcome import State
from recharge.privacy import account_hash, keyed_hash, mask_phone

_SUMMARY_CHARS_MAX = 120


def search_attributes(record: RecordInput, kafka_key: bytes | None, hash_key: bytes) -> TypedSearchAttributes:
    """Where the record stands, and its key and numbers as keyed hashes, since whoever may read a list sees them."""
    pairs: list[SearchAttributePair[str] | SearchAttributePair[int] | SearchAttributePair[Sequence[str]]] = [
        SearchAttributePair(contract.STATUS, State.SENDING.value),
        SearchAttributePair(contract.TOPIC, record.topic),
        SearchAttributePair(contract.PARTITION, record.partition),
        SearchAttributePair(contract.OFFSET, record.offset),
    ]
    if kafka_key is not None:
        pairs.append(SearchAttributePair(contract.KEY, keyed_hash(hash_key, kafka_key)))
    if record.transfer is not None:
        numbers = (record.transfer.donor, record.transfer.receiver)
        hashes = {account_hash(hash_key, number) for number in numbers}
        pairs.append(SearchAttributePair(contract.ACCOUNTS, sorted(hashes)))
    return TypedSearchAttributes(pairs)


def summary(record: RecordInput) -> str:
    """What it asks for, with masked numbers, or why it is invalid."""
    if record.transfer is None:
        return f"Invalid record: {record.invalid_reason}"[:_SUMMARY_CHARS_MAX]
    transfer = record.transfer
    money = f"{transfer.amount} {transfer.currency}" if transfer.currency else transfer.amount
    return f"{transfer.operation_type} {money} from {mask_phone(transfer.donor)} to {mask_phone(transfer.receiver)}"[
        :_SUMMARY_CHARS_MAX
    ]

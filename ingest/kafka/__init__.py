"""Everything that speaks to Kafka: the consumer, the producer of dead letters, and questions to the cluster.

This package is the one importer of aiokafka. Its errors leave it as a KafkaProblem in plain words. Every call has a deadline,
since several of aiokafka's own would wait without limit, and no setting is left to a default where money depends on it.
"""

from ingest.kafka.cluster import Cluster, Edge, GroupMember
from ingest.kafka.connection import find_broker
from ingest.kafka.reader import KafkaRecord, RecordReader
from ingest.kafka.scan import Span, TopicScan, UnreadableRecord, scan
from ingest.kafka.writer import RecordWriter, Written

__all__ = [
    "Cluster",
    "Edge",
    "GroupMember",
    "KafkaRecord",
    "RecordReader",
    "RecordWriter",
    "Span",
    "TopicScan",
    "UnreadableRecord",
    "Written",
    "find_broker",
    "scan",
]

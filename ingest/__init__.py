"""The intake: Kafka's records become workflows, and offsets are committed when their records are final."""

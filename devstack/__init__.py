"""The outside world on one machine: Temporal, Kafka, MySQL and a provider simulator as child processes."""

"""Benchmarks: figures with their yardsticks, measured in one run on the local stack. No test depends on them."""

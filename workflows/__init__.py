"""The story of one record, deterministic."""

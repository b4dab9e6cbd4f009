"""What a person asks, and decides. It reads ledger, topic and Temporal, and writes decisions and verdicts, never a state."""

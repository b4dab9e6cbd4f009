"""The provider simulator: a recharge API over HTTPS whose faults are chosen and which never forgets a charge."""

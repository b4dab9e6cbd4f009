"""Campaigns: a service of several processes that meets faults drawn from a seed, and what its audit says about it afterwards."""

"""Profiles of providers: what they are made of, how one is loaded, and those beside the standard one."""

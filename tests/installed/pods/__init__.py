"""Pods that tests bring: short-lived ones, an address that two of them have, real servers and what these count."""

"""Traces TCP connects on one node and turns them into connections between pods and services."""

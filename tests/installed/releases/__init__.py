"""Releases beside the shared one: agents that observe on order, and a manager that serves https."""

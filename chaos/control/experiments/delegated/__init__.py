"""Runs by the hands of a delegate: their runner comes, is told to stop, and goes by tasks.

Reading order: `find_delegate` → `run_tasks` → `runner_list` → `next_change` → `progress`.
"""

"""Connections that were open before the window: from an iterator over all sockets, else from the tables in /proc.

Reading order: `open_sockets`, else `proc_sockets`.
"""

"""Connections that were open before the window: from an iterator over all sockets, else from the tables in /proc.

Reading order: `socket_rows` → `open_sockets` → `opened_flows`, else `proc_sockets`.
"""

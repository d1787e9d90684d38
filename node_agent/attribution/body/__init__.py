"""Decided flows become the connections body that is pushed.

Reading order: `json_format` → `connection_json`, `accepted_flows`, `scan_sums`, `left_out_sources`, `pod_cgroups` →
`connections_body`.
"""

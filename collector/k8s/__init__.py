"""Lists the objects of a cluster.

Reading order: `kinds` → `list_deadline` → `paged_list` → `list_page`, `managed_fields`, `streaming_list`.
Requests are made by `cluster_api`.
"""

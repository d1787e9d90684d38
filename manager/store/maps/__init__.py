"""Maps that are kept, and what the API's maps are made of.

Reading order: `windows`; `discovered_services` → `network_maps`.
"""

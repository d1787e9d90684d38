"""The commands that read maps: `edges_text` → `graph_formats` → `csv_rows` → `printing` → `commands` →
`compare`, `explaining`, `policies`.
"""

"""What every program needs.

Reading order: `model`, `errors`, `clean_text`, `object_identity`, `owner_chain`, `schedule`, `settings`,
`settings_sources`, `atomic_file`, `json_gzip`, `gc_pause`, `logs_and_probes`.
"""

"""What every program needs.

Reading order: `model`, `errors`, `clean_text`, `schedule`, `settings`, `settings_sources`, `atomic_file`, `json_gzip`,
`logs_and_probes`.
"""

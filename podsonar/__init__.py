"""What every program needs.

Reading order: `errors`, `timestamp`, `model`, `directory_answer`, `clean_text`, `object_identity`, `owner_chain`,
`batch_sequence`, `schedule`, `window_orders`, `manager_paths`, `run_labels`, `settings`, `settings_sources`,
`atomic_file`, `private_folder`, `json_gzip`, `json_bounds`, `yaml_text`, `input_file`, `gc_pause`, `malloc`,
`supervised`, `lazy_module`, `masking`, `cookies`, `keep_alive`, `logs_and_probes`.
"""

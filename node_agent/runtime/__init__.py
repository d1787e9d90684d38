"""The unprivileged process.

Reading order: `entrypoint` → `lazy_imports` → `app` → `order_client` → `ordered_windows` → `tracer_lifecycle` →
`window_loop` → `progress`, `metrics`.
"""

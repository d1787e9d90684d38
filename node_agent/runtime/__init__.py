"""The unprivileged process.

Reading order: `entrypoint` → `lazy_imports` → `app` → `tracer_lifecycle` → `window_loop` → `progress`, `metrics`.
"""

"""The unprivileged process: `entrypoint` → `lazy_imports` → `app` → `tracer_lifecycle` → `window_loop` → `metrics`."""

"""One pod on the target's node that holds one fault, for as long as its runner wants it.

Reading order: `order` → `runner_client` → `injection`.
"""

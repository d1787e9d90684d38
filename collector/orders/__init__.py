"""Windows on order.

Reading order: `order_request` → `order_book` → `orders_file`; `handlers`, `metrics`.
"""

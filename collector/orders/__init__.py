"""Windows on order.

Reading order: `order_request` → `order_book` → `orders_file`, `listeners`, `metrics` → `handlers`.
"""

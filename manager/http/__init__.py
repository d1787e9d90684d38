"""What every route needs: `connections` → `failed_auth` → `auth` → `responses` → `json_body` → `body_limits` →
`request_bodies` → `versioned` → `last_answers`.
"""

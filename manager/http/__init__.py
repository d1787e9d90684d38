"""What every route needs: `connections` → `failed_auth` → `auth` → `responses` → `json_body` → `versioned` →
`last_answers`.
"""

"""What every route needs: `connections` → `failed_auth` → `auth` → `responses` → `versioned` → `last_answers`."""

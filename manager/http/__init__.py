"""What every route needs: `connections` → `auth` → `responses`."""

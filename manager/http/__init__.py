"""What every route needs: `header_timeout` → `auth` → `responses`."""

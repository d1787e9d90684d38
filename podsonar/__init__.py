"""What collector, node agent and manager share, from records and settings to spool and push."""

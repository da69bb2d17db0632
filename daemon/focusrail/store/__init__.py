"""What must survive: the journal, the spool of originals, and the outbound folder."""

"""A trading agent: a policy that sees the last rows and its position, trained to gain by the rule of the ledger."""

"""Who is told when a budget's threshold or limit is reached?  By e-mail, webhook and Slack, and in the audit trail."""

"""What people see and press: embeds, the progress message, drafts, buttons and forms."""

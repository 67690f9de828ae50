"""What runs on a developer's machine only: embedded servers for tests, and the demo's launcher.

Nothing else imports this package; production never loads it.
"""

"""Which item comes next: every prefix of every test session, all items ranked."""

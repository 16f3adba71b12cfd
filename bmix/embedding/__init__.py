"""Images as features of a frozen backbone."""

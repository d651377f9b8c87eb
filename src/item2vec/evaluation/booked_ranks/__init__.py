"""Where each click would have put the listing that was booked in the end (paper, Fig. 6)."""

"""Commands of ``pets``, one file for each kind of person who gives them."""

"""Commands of ``pets``, one file for each kind of person who gives them.

A command's body imports what it needs: ``pets --help`` and ``pets check`` answer at once, and load no kernel, no chart
and no network.
"""

"""rep3: arithmetic, comparison and order on values that three parties hold in replicated shares."""

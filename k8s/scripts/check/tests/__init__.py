"""Each check is shown what it is for: an object that is right, with one thing spoilt."""

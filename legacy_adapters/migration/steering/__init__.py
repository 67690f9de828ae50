"""Moving endpoints from stage to stage: by an operator, and back by itself."""

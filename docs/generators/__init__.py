"""What the generated blocks say: a module for each subject."""

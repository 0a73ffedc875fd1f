"""What all bindings of kp for Python have in common. An app imports what the package itself exports."""

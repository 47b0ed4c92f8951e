"""Many runs over an archive."""

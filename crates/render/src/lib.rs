//! Files of a repository to objects.

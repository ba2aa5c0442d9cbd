//! Mirrors of Git repositories and packs of commits.

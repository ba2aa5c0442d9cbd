//! What is known per kind: apply order, health, feedback.

//! Frames of the report stream between agent and hub.

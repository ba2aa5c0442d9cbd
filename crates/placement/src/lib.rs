//! Which clusters a Placement selects.

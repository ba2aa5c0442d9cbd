//! Add-ons (`addon.open-cluster-management.io`).

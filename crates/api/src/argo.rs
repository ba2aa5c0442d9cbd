//! Argo CD's kinds (`argoproj.io`).

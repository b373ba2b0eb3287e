//! Black-box stories over real protocols.

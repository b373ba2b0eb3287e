//! Black-box stories over real protocols, and the checks of the house itself.

mod house;

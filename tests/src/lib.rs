//! Shared harness of the black-box tests: starts the real binary on free ports and speaks to it only from outside.

//! Edge tests of the base registers' wire.

//! Both engines say the same: about real events, and about rule files that no one would write.

mod corpus;
mod coverage;
mod random;

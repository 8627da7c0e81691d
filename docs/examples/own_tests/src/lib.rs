//! The project that is tested: a tunnel, say.

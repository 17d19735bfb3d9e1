//! From profile to medium: the stages, each a type that the next one consumes.

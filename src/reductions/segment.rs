//! The input that tells segments apart.

use crate::plugin::prelude::*;

/// Which segment of its sequence each token is in, as an input.
pub(super) const BY: Input = Input::required("by", Type::TOKEN.to_int())
    .detached()
    .docs("Ids in any order: which turn or step of its sequence a token is in.");

//! The ranks that hold the shards of a vocabulary, as the kernels see them.

use super::group::{ProcessGroup, gather};
use crate::exec::error::{Error, Result};
use crate::kernels::{Exchange, Shards};
use crate::tensor::{Host, Tensor};
use std::error::Error as StdError;
use std::sync::Arc;

/// A process group whose ranks hold the shards of a vocabulary.
#[derive(Clone, Debug)]
pub(in crate::exec) struct Vocabulary(pub(in crate::exec) Arc<dyn ProcessGroup>);

impl Vocabulary {
    /// Reads a batch on all ranks; an error on one becomes an error on all.
    pub(in crate::exec) fn together<T>(&self, run: impl FnOnce(&Shards<'_>) -> Result<T>) -> Result<T> {
        let shards = Shards::new(self);
        shards.together(|| run(&shards).map_err(|error| self.0.failing(error)))
    }

    /// Tells the other ranks of an error that is not of a batch.
    pub(in crate::exec) fn fail(&self, words: &str) {
        Shards::new(self).fail(words);
    }
}

impl Exchange for Vocabulary {
    fn rank(&self) -> usize {
        self.0.rank()
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn host(&self) -> &'static dyn Host {
        self.0.host()
    }

    fn all_gather(
        &self,
        tensor: &Tensor,
    ) -> std::result::Result<Vec<Tensor>, Box<dyn StdError + Send + Sync>> {
        gather(&*self.0, tensor).map_err(|error| match error {
            Error::Group(error) => error,
            other => other.into(),
        })
    }
}

//! The groups of a step whose caller says that each is whole in one part.

use crate::exec::error::{Error, Result};
use crate::exec::part::Part;
use crate::plan::Plan;
use crate::tensor::{DType, Tensor};
use std::collections::BTreeMap;

/// The groups by one field, as the parts bring them.
#[derive(Debug)]
pub(super) struct Groups {
    /// The field.
    pub(super) name: String,
    /// How many there are, by the caller.
    pub(super) counted: i64,
    /// Its number among the plan's fields.
    field: usize,
    /// The ids of each part, and whether a sequence has a valid token; until they are looked at.
    waiting: Vec<[Tensor; 2]>,
    /// The part of each group, from 1.
    parts: BTreeMap<i64, usize>,
    looked: usize,
}

impl Groups {
    /// Of a field that the program reads.
    pub(super) fn of(plan: &Plan, name: &str, counted: i64) -> Option<Self> {
        let field = plan.fields.iter().position(|field| field.name == name && field.needed)?;
        let name = name.to_owned();
        Some(Self { name, counted, field, waiting: Vec::new(), parts: BTreeMap::new(), looked: 0 })
    }

    pub(super) fn add(&mut self, part: &Part) {
        if let Some(ids) = &part.fields[self.field] {
            self.waiting.push([ids.clone(), part.mask.sequences().clone()]);
        }
    }

    /// How many the parts have so far. Refuses one that is in two parts. Waits for the device.
    pub(super) fn seen(&mut self) -> Result<i64> {
        for [ids, valid] in std::mem::take(&mut self.waiting) {
            self.looked += 1;
            let (ids, valid) = (ids.to_dtype(DType::I64).to_i64s()?, valid.to_u8s()?);
            for (id, _) in ids.into_iter().zip(valid).filter(|(_, valid)| *valid != 0) {
                let first = *self.parts.entry(id).or_insert(self.looked);
                if first != self.looked {
                    let (name, looked) = (&self.name, self.looked);
                    return Err(Error::Step(format!(
                        "`{name}`: expected each group whole in one part, as `groups` says, found {id} in part {first} and \
                         in part {looked}"
                    )));
                }
            }
        }
        Ok(self.parts.len() as i64)
    }
}

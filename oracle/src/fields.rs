//! The fields of the batch, and the rows of logits.

use crate::batch::Numbers;
use crate::run::{Env, Run, field_shape, has_gradient};
use crate::tape::Var;
use crate::tree::Input;
use crate::value::{Data, Shape, Value};
use crate::{Result, wrong};
use std::rc::Rc;

impl Run<'_> {
    /// A field that every file knows.
    pub(crate) fn field(&mut self, name: &str) -> Result<Value> {
        let shape = field_shape(name).unwrap_or(Shape::Token);
        match name {
            "response_mask" => Ok(Value::new(shape, Data::Truth(self.batch.mask.clone()))),
            "group" => Ok(Value::new(shape, Data::Id(self.batch.ids(name)?))),
            "log_prob" if !self.batch.fields.contains_key(name) => self.sampled_log_prob(),
            _ => self.real_field(name, shape, has_gradient(name)),
        }
    }

    /// A field that a file declares.
    pub(crate) fn input(&mut self, name: &str, input: &Input) -> Result<Value> {
        let shape = match input.shape.as_str() {
            "token" => Shape::Token,
            "seq" => Shape::Seq,
            "scalar" => Shape::Scalar,
            _ => return Ok(Value::new(Shape::Scalar, Data::Field(name.to_owned()))),
        };
        match input.kind.as_str() {
            "bool" => Ok(Value::new(shape, Data::Truth(self.batch.truths(name)?))),
            "int" => Ok(Value::new(shape, Data::Id(self.batch.ids(name)?))),
            _ => self.real_field(name, shape, input.grad),
        }
    }

    fn real_field(&mut self, name: &str, shape: Shape, gradient: bool) -> Result<Value> {
        let read = self.vars(name, gradient)?;
        // One number for each sequence stands for each of its tokens.
        let of = if shape == Shape::Token && read.len() == self.batch.sequences && self.batch.width != 1 {
            Shape::Seq
        } else {
            shape
        };
        self.spread(&Value::real(of, read), shape)
    }

    /// All numbers of a field.
    fn vars(&mut self, name: &str, gradient: bool) -> Result<Vec<Var>> {
        if let Some(known) = self.leaves.get(name) {
            return Ok(known.clone());
        }
        let Numbers::Reals(numbers) = self.batch.field(name)? else {
            return wrong(format!("`{name}` is not real"));
        };
        if !gradient {
            return Ok(numbers.iter().map(|x| Var::constant(*x)).collect());
        }
        let leaves: Vec<Var> = numbers.iter().map(|x| self.tape.leaf(*x)).collect();
        self.leaves.insert(name.to_owned(), leaves.clone());
        Ok(leaves)
    }

    /// A row of logits: of the policy, `logits`, of the reference, `ref_logits`, or of another one.
    pub(crate) fn row(&mut self, of: &str, token: usize) -> Result<Rc<Vec<Var>>> {
        let key = (of.to_owned(), token);
        if let Some(known) = self.rows.get(&key) {
            return Ok(known.clone());
        }
        let policy = of == "logits";
        let row = if self.batch.fields.contains_key(of) {
            let all = self.vars(of, policy)?;
            let width = all.len() / self.batch.mask.len();
            all[token * width..][..width].to_vec()
        } else {
            self.row_of_hidden(of, token, policy)?
        };
        let row = Rc::new(row);
        self.rows.insert(key, row.clone());
        Ok(row)
    }

    /// A row of logits from hidden states and an output layer.
    fn row_of_hidden(&mut self, of: &str, token: usize, gradient: bool) -> Result<Vec<Var>> {
        let name = of.strip_suffix("logits").map_or_else(|| format!("{of}_"), str::to_owned);
        let hidden = self.vars(&format!("{name}hidden"), gradient)?;
        let head = self.vars(&format!("{name}lm_head"), gradient)?;
        let bias = format!("{name}lm_head_bias");
        let bias =
            if self.batch.fields.contains_key(&bias) { Some(self.vars(&bias, gradient)?) } else { None };
        let depth = hidden.len() / self.batch.mask.len();
        let state = &hidden[token * depth..][..depth];
        let mut row = Vec::new();
        for (v, weights) in head.chunks(depth).enumerate() {
            let mut parts: Vec<Var> = state.iter().zip(weights).map(|(x, w)| self.tape.mul(*x, *w)).collect();
            parts.extend(bias.as_ref().map(|bias| bias[v]));
            row.push(self.tape.sum(&parts));
        }
        Ok(row)
    }

    /// What divides the logits of each token: the file's temperature.
    pub(crate) fn file_temperature(&mut self) -> Result<Rc<Vec<Var>>> {
        if let Some(known) = &self.temperature {
            return Ok(known.clone());
        }
        let value = match &self.program.modules[0].temperature {
            Some(expr) => self.eval(expr, &Env::file(0))?.detached(),
            None => Value::number(1.0),
        };
        let all = Rc::new(self.reals(&value, Shape::Token)?);
        self.temperature = Some(all.clone());
        Ok(all)
    }
}

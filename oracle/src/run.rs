//! One step of a program on one batch: names, calls and operators.

use crate::args::Args;
use crate::batch::Batch;
use crate::control::State;
use crate::tape::{Noise, Tape, Var};
use crate::tree::{Arg, Definition, Expr, Function, Literal, Program};
use crate::value::{Data, Shape, Value};
use crate::{Result, functions, reductions, terms, wrong};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// What a controller is known by: its file and its name.
pub(crate) type Key = (usize, String);

pub(crate) struct Run<'a> {
    pub(crate) program: &'a Program,
    pub(crate) batch: &'a Batch,
    pub(crate) tape: Tape,
    /// The fields that gradient flows to.
    pub(crate) leaves: BTreeMap<String, Vec<Var>>,
    /// What controllers hold in this step; one that is missing has not started.
    pub(crate) states: BTreeMap<Key, State>,
    /// How many steps there were before.
    pub(crate) steps: usize,
    lets: HashMap<Key, Value>,
    /// Rows of logits that were read, by field and token.
    pub(crate) rows: HashMap<(String, usize), Rc<Vec<Var>>>,
    pub(crate) temperature: Option<Rc<Vec<Var>>>,
    /// The log-probability of the sampled tokens, once it is read.
    pub(crate) sampled: Option<Value>,
}

/// Where a name is looked up: the arguments and parts of functions, then a file.
pub(crate) struct Env<'a> {
    pub(crate) module: usize,
    local: Option<(&'a str, Bound<'a>)>,
    parent: Option<Rc<Env<'a>>>,
}

/// The value of a local name, computed when it is first read.
struct Bound<'a> {
    expr: &'a Expr,
    env: Rc<Env<'a>>,
    value: RefCell<Option<Value>>,
}

impl<'a> Env<'a> {
    pub(crate) fn file(module: usize) -> Rc<Self> {
        Rc::new(Self { module, local: None, parent: None })
    }

    fn with(self: &Rc<Self>, name: &'a str, expr: &'a Expr, env: Rc<Env<'a>>) -> Rc<Self> {
        let bound = Bound { expr, env, value: RefCell::new(None) };
        Rc::new(Self { module: self.module, local: Some((name, bound)), parent: Some(self.clone()) })
    }

    fn find(&self, name: &str) -> Option<&Bound<'a>> {
        match &self.local {
            Some((of, bound)) if *of == name => Some(bound),
            _ => self.parent.as_ref().and_then(|parent| parent.find(name)),
        }
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        program: &'a Program,
        batch: &'a Batch,
        states: BTreeMap<Key, State>,
        steps: usize,
        noise: Noise,
    ) -> Self {
        Self {
            program,
            batch,
            tape: Tape::new(noise),
            leaves: BTreeMap::new(),
            states,
            steps,
            lets: HashMap::new(),
            rows: HashMap::new(),
            temperature: None,
            sampled: None,
        }
    }

    pub(crate) fn eval(&mut self, expr: &'a Expr, env: &Rc<Env<'a>>) -> Result<Value> {
        match expr {
            Expr::Literal(literal) => Ok(value_of(literal)),
            Expr::Name(name) => self.name(name, env),
            Expr::Field(base, field) => {
                if let Some(module) = self.module_of(base, env) {
                    return self.name(field, &Env::file(module));
                }
                let base = self.eval(base, env)?;
                base.extras.get(field).cloned().map_or_else(|| wrong(format!("no extra `{field}`")), Ok)
            }
            Expr::Call(callee, args) => self.call(callee, args, env),
            Expr::Not(x) => {
                let x = self.eval(x, env)?;
                self.map_truths(&[&x], |x| !x[0])
            }
            Expr::Negative(x) => {
                let x = self.eval(x, env)?;
                self.map(&[&x], |tape, x| tape.neg(x[0]))
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.eval(a, env)?, self.eval(b, env)?);
                functions::binary(self, op, &a, &b)
            }
        }
    }

    /// The file that an alias stands for.
    fn module_of(&self, expr: &Expr, env: &Env<'a>) -> Option<usize> {
        let Expr::Name(name) = expr else { return None };
        if env.find(name).is_some() {
            return None;
        }
        let imports = &self.program.modules[env.module].imports;
        imports.iter().find(|(alias, _)| alias.as_ref() == Some(name)).map(|(_, module)| *module)
    }

    /// What a name stands for in a file: its own definition, or that of a file that it imports.
    fn definition(&self, module: usize, name: &str) -> Option<(usize, &'a Definition)> {
        let file = &self.program.modules[module];
        if let Some(found) = file.definitions.get(name) {
            return Some((module, found));
        }
        let imports = file.imports.iter().filter(|(alias, _)| alias.is_none());
        imports.into_iter().find_map(|(_, import)| self.definition(*import, name))
    }

    fn name(&mut self, name: &str, env: &Rc<Env<'a>>) -> Result<Value> {
        if let Some(bound) = env.find(name) {
            if let Some(known) = &*bound.value.borrow() {
                return Ok(known.clone());
            }
            let value = self.eval(bound.expr, &bound.env)?;
            *bound.value.borrow_mut() = Some(value.clone());
            return Ok(value);
        }
        if name == "step" {
            return Ok(Value::number(self.steps as f64));
        }
        if field_shape(name).is_some() {
            return self.known(name);
        }
        match self.definition(env.module, name) {
            Some((module, Definition::Let(_))) => self.let_value(module, name),
            Some((module, Definition::Param(default))) => {
                Ok(value_of(self.program.given(module, name).unwrap_or(default)))
            }
            Some((_, Definition::Input(input))) => self.input(name, input),
            Some((module, Definition::Controller { .. })) => {
                Ok(Value::number(self.coefficient(&(module, name.to_owned()))?))
            }
            Some((_, Definition::Function(_))) => wrong(format!("`{name}` is to be called")),
            None => terms::eval(self, name, &Args::default()),
        }
    }

    /// A field that every file knows: that of the batch, or what a `let` of the compiled file gives.
    pub(crate) fn known(&mut self, name: &str) -> Result<Value> {
        let shape = field_shape(name).map_or_else(|| wrong(format!("no field `{name}`")), Ok)?;
        if !matches!(self.program.modules[0].definitions.get(name), Some(Definition::Let(_))) {
            return self.field(name);
        }
        let value = self.let_value(0, name)?;
        let value = self.spread(&value, shape)?;
        Ok(if has_gradient(name) { value } else { value.detached() })
    }

    fn let_value(&mut self, module: usize, name: &str) -> Result<Value> {
        let key = (module, name.to_owned());
        if let Some(known) = self.lets.get(&key) {
            return Ok(known.clone());
        }
        let Some(Definition::Let(expr)) = self.program.modules[module].definitions.get(name) else {
            return wrong(format!("no `{name}`"));
        };
        let value = self.eval(expr, &Env::file(module))?;
        self.lets.insert(key, value.clone());
        Ok(value)
    }

    fn call(&mut self, callee: &'a Expr, args: &'a [Arg], env: &Rc<Env<'a>>) -> Result<Value> {
        let (module, name) = match callee {
            Expr::Name(name) => (env.module, name),
            Expr::Field(base, name) => match self.module_of(base, env) {
                Some(module) => (module, name),
                None => return wrong(format!("`{name}` is not a function of a file")),
            },
            _ => return wrong("what is called has no name"),
        };
        if name == "where" {
            return self.choice(args, env);
        }
        if let Some((module, Definition::Function(function))) = self.definition(module, name) {
            return self.call_function(name, function, module, args, env);
        }
        let args = self.arguments(args, env)?;
        if let Some(found) = functions::call(self, name, &args) {
            return found;
        }
        if let Some(found) = reductions::call(self, name, &args) {
            return found;
        }
        terms::eval(self, name, &args)
    }

    /// `where(c, a, b)`, of which a constant condition computes one side alone.
    fn choice(&mut self, args: &'a [Arg], env: &Rc<Env<'a>>) -> Result<Value> {
        let of = |name: &str, at: usize| {
            let named = args.iter().find(|arg| arg.name.as_deref() == Some(name));
            let found = named.or_else(|| args.get(at).filter(|arg| arg.name.is_none()));
            found.map_or_else(|| wrong(format!("`where` has no `{name}`")), |arg| Ok(&arg.value))
        };
        let (condition, a, b) = (of("c", 0)?, of("a", 1)?, of("b", 2)?);
        let condition = self.eval(condition, env)?;
        if let (true, Data::Truth(truth)) = (condition.constant, &condition.data) {
            return self.eval(if truth[0] { a } else { b }, env);
        }
        let (a, b) = (self.eval(a, env)?, self.eval(b, env)?);
        functions::select(self, &condition, &a, &b)
    }

    fn call_function(
        &mut self,
        name: &str,
        function: &'a Function,
        module: usize,
        args: &'a [Arg],
        caller: &Rc<Env<'a>>,
    ) -> Result<Value> {
        let file = Env::file(module);
        let mut env = file.clone();
        for (at, (param, default)) in function.params.iter().enumerate() {
            let named = args.iter().find(|arg| arg.name.as_ref() == Some(param));
            let positional = || args.get(at).filter(|arg| arg.name.is_none());
            env = match (named.or_else(positional), default) {
                (Some(arg), _) => env.with(param, &arg.value, caller.clone()),
                (None, Some(default)) => env.with(param, default, file.clone()),
                (None, None) => return wrong(format!("`{name}` needs `{param}`")),
            };
        }
        for (part, expr, _) in &function.parts {
            env = env.with(part, expr, env.clone());
        }
        let mut value = self.eval(&function.result, &env)?;
        for (part, ..) in function.parts.iter().filter(|(.., extra)| *extra) {
            let extra = self.name(part, &env)?;
            value = value.with(part, extra);
        }
        Ok(value)
    }

    /// The values of arguments.
    pub(crate) fn arguments(&mut self, args: &'a [Arg], env: &Rc<Env<'a>>) -> Result<Args> {
        let mut found = Args::default();
        for arg in args {
            let value = self.eval(&arg.value, env)?;
            let value = match &arg.to {
                None => value,
                Some(to) => {
                    let ends = (value.as_number()?, self.eval(to, env)?.as_number()?);
                    Value::new(Shape::Scalar, Data::Range(ends.0, ends.1))
                }
            };
            found.push(arg.name.clone(), value);
        }
        Ok(found)
    }
}

/// Positions and shapes.
impl Run<'_> {
    pub(crate) fn count(&self, shape: Shape) -> usize {
        match shape {
            Shape::Scalar => 1,
            Shape::Seq => self.batch.sequences,
            Shape::Token => self.batch.mask.len(),
        }
    }

    /// Whether a position counts.
    pub(crate) fn counts(&self, shape: Shape, at: usize) -> bool {
        match shape {
            Shape::Scalar => true,
            Shape::Seq => self.batch.is_valid(at),
            Shape::Token => self.batch.mask[at],
        }
    }

    /// Where a value of one shape has what belongs to a position of another.
    pub(crate) fn place(&self, of: Shape, shape: Shape, at: usize) -> usize {
        match (of, shape) {
            (Shape::Scalar, _) => 0,
            (Shape::Seq, Shape::Token) => at / self.batch.width,
            _ => at,
        }
    }

    /// The numbers of a value at every position of a shape; truth values are 0 and 1. What does not count is 0.
    pub(crate) fn reals(&self, value: &Value, shape: Shape) -> Result<Vec<Var>> {
        if value.shape > shape {
            return wrong(format!("{:?} is no {shape:?}", value.shape));
        }
        let number = |at: usize| {
            if !self.counts(shape, at) {
                return Ok(Var::constant(0.0));
            }
            let place = self.place(value.shape, shape, at);
            match &value.data {
                Data::Real(of) => Ok(of[place]),
                Data::Truth(of) => Ok(Var::constant(f64::from(of[place]))),
                found => wrong(format!("{found:?} is no number")),
            }
        };
        (0..self.count(shape)).map(number).collect()
    }

    pub(crate) fn truths(&self, value: &Value, shape: Shape) -> Result<Vec<bool>> {
        let Data::Truth(of) = &value.data else { return wrong("expected truth values") };
        let truth = |at: usize| self.counts(shape, at) && of[self.place(value.shape, shape, at)];
        Ok((0..self.count(shape)).map(truth).collect())
    }

    pub(crate) fn ids(&self, value: &Value, shape: Shape) -> Result<Vec<i64>> {
        let Data::Id(of) = &value.data else { return wrong("expected ids") };
        Ok((0..self.count(shape)).map(|at| of[self.place(value.shape, shape, at)]).collect())
    }

    /// A value of another shape.
    pub(crate) fn spread(&self, value: &Value, shape: Shape) -> Result<Value> {
        let data = match &value.data {
            Data::Real(_) => Data::Real(self.reals(value, shape)?),
            Data::Truth(_) => Data::Truth(self.truths(value, shape)?),
            Data::Id(_) => Data::Id(self.ids(value, shape)?),
            found => return wrong(format!("{found:?} has no shape")),
        };
        Ok(Value { shape, data, ..value.clone() })
    }

    /// A formula position by position.
    pub(crate) fn map(
        &mut self,
        of: &[&Value],
        mut f: impl FnMut(&mut Tape, &[Var]) -> Var,
    ) -> Result<Value> {
        let shape = of.iter().map(|x| x.shape).max().unwrap_or(Shape::Scalar);
        if let Some(x) = of.iter().find(|x| !matches!(x.data, Data::Real(_))) {
            return wrong(format!("{:?} is no real number", x.data));
        }
        let numbers = of.iter().map(|x| self.reals(x, shape)).collect::<Result<Vec<_>>>()?;
        let mut found = Vec::with_capacity(self.count(shape));
        for at in 0..self.count(shape) {
            let here: Vec<Var> = numbers.iter().map(|x| x[at]).collect();
            let counts = self.counts(shape, at);
            found.push(if counts { f(&mut self.tape, &here) } else { Var::constant(0.0) });
        }
        Ok(Value::real(shape, found).constant(of.iter().all(|x| x.constant)))
    }

    /// A truth value position by position.
    pub(crate) fn map_truths(&mut self, of: &[&Value], f: impl Fn(&[bool]) -> bool) -> Result<Value> {
        let shape = of.iter().map(|x| x.shape).max().unwrap_or(Shape::Scalar);
        let truths = of.iter().map(|x| self.truths(x, shape)).collect::<Result<Vec<_>>>()?;
        let here = |at: usize| f(&truths.iter().map(|x| x[at]).collect::<Vec<_>>());
        let found = (0..self.count(shape)).map(|at| self.counts(shape, at) && here(at)).collect();
        Ok(Value::new(shape, Data::Truth(found)).constant(of.iter().all(|x| x.constant)))
    }
}

pub(crate) fn value_of(literal: &Literal) -> Value {
    let value = match literal {
        Literal::Number(number) => Value::number(*number),
        Literal::Truth(truth) => Value::new(Shape::Scalar, Data::Truth(vec![*truth])),
        Literal::Text(text) => Value::new(Shape::Scalar, Data::Text(text.clone())),
    };
    value.constant(true)
}

/// The shape of a field that every file knows.
pub(crate) fn field_shape(name: &str) -> Option<Shape> {
    match name {
        "log_prob" | "old_log_prob" | "ref_log_prob" | "rollout_log_prob" | "advantages" | "values"
        | "old_values" | "returns" | "response_mask" => Some(Shape::Token),
        "rewards" | "group" => Some(Shape::Seq),
        _ => None,
    }
}

/// Whether gradient flows to a field that every file knows.
pub(crate) fn has_gradient(field: &str) -> bool {
    field == "log_prob" || field == "values"
}

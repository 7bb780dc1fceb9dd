//! The syntax tree: the text as written, with places but no meaning yet.

use crate::span::{SourceId, Span, Spanned};
use crate::types::InputType;

/// A name with its place; a plugin's name keeps its `::`.
pub type Name = Spanned<String>;

/// One parsed file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// The source it was parsed from.
    pub source: SourceId,
    /// The statements that could be parsed, in order.
    pub statements: Vec<Statement>,
    /// Every comment in order, with its `#` and without its line break.
    pub comments: Vec<Spanned<String>>,
    /// Statements with syntax errors, so that later passes do not complain about the names they would have defined.
    pub broken: Vec<Broken>,
}

/// A statement that could not be parsed. Without keyword and name it is the whole rest of a file that is too large or
/// has too many errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// Its keyword, if it has one.
    pub keyword: Option<&'static str>,
    /// The name it would have defined, if that is clear.
    pub name: Option<Name>,
    /// From the first token to the last.
    pub span: Span,
}

/// One statement with the place it covers, keyword included.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Which statement.
    pub kind: StatementKind,
    /// From the keyword to the last token.
    pub span: Span,
}

/// The statements of the language.
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// `edition NUMBER`
    Edition {
        /// Which edition of the language the file is written in.
        number: Spanned<Number>,
    },
    /// `param NAME = VALUE [in a .. b | in "a", "b"]`
    Param {
        /// The parameter.
        name: Name,
        /// Its default.
        value: Spanned<ParamValue>,
        /// What it may be set to.
        range: Option<ParamRange>,
    },
    /// `input NAME: token | seq | scalar [bool | int] [grad]` or `input NAME: candidates [id] | logits`
    Input {
        /// The batch field.
        name: Name,
        /// Its type.
        ty: InputType,
        /// Where it says `grad`, if gradient flows to it.
        gradient: Option<Span>,
    },
    /// `set NAME = VALUE`
    Set {
        /// The setting; only `temperature` is known.
        name: Name,
        /// Its value.
        value: Expr,
    },
    /// `fn NAME(a, b = 0.1) = EXPR`
    Fn {
        /// The function.
        name: Name,
        /// Its parameters.
        params: Vec<FnParam>,
        /// What stands around its formula, if more than a `=` before it.
        block: Option<FnBlock>,
        /// Its formula.
        body: Expr,
    },
    /// `let NAME = EXPR`
    Let {
        /// The name.
        name: Name,
        /// The value.
        value: Expr,
    },
    /// `controller NAME = KIND(args)`
    Controller {
        /// The coefficient.
        name: Name,
        /// The controller's kind with its arguments.
        call: Call,
        /// The place of the whole call.
        span: Span,
    },
    /// `loss [NAME] = EXPR`
    Loss {
        /// The loss's name, where a file has several.
        name: Option<Name>,
        /// The value to minimise.
        value: Expr,
    },
    /// `metric NAME = EXPR`
    Metric {
        /// The name it is reported under.
        name: Name,
        /// The value.
        value: Expr,
    },
    /// `assert CONDITION, "words"`
    Assert {
        /// What has to hold in every step.
        condition: Expr,
        /// What is said where it does not.
        message: Spanned<String>,
    },
    /// `import "other.aent" [as NAME]`
    Import {
        /// The path as written, without quotes.
        path: Spanned<String>,
        /// The name before each name of that file: `NAME.f(x)`.
        alias: Option<Name>,
    },
}

impl StatementKind {
    /// The formula at the end of the statement, if there is one.
    pub fn value(&self) -> Option<&Expr> {
        match self {
            Self::Set { value, .. }
            | Self::Fn { body: value, .. }
            | Self::Let { value, .. }
            | Self::Loss { value, .. }
            | Self::Metric { value, .. } => Some(value),
            Self::Edition { .. }
            | Self::Param { .. }
            | Self::Input { .. }
            | Self::Controller { .. }
            | Self::Assert { .. }
            | Self::Import { .. } => None,
        }
    }
}

/// The value of a `param`.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamValue {
    /// `0.2`
    Number(Number),
    /// `true`, `false`
    Bool(bool),
    /// `"k3"`
    Text(String),
}

/// What a `param` may be set to.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamRange {
    /// `in 0 .. 1`, both ends included.
    Numbers(Spanned<Number>, Spanned<Number>),
    /// `in "k1", "k2", "k3"`
    Choices(Vec<Spanned<String>>),
}

impl ParamRange {
    /// Its place, without the `in`.
    pub fn span(&self) -> Span {
        match self {
            Self::Numbers(lo, hi) => lo.span.to(hi.span),
            Self::Choices(choices) => match choices.as_slice() {
                [first, .., last] => first.span.to(last.span),
                [only] => only.span,
                [] => Span::default(),
            },
        }
    }
}

/// The block of a `fn`: `{ let a = EXPR  extra b = EXPR  return EXPR }`.
#[derive(Clone, Debug, PartialEq)]
pub struct FnBlock {
    /// The values that are named in it.
    pub steps: Vec<FnStep>,
    /// From `{` to `}`.
    pub span: Span,
}

/// A named value in the block of a `fn`.
#[derive(Clone, Debug, PartialEq)]
pub struct FnStep {
    /// The name.
    pub name: Name,
    /// The value.
    pub value: Expr,
    /// Whether it is an `extra`, which calls can read, and not a `let`.
    pub is_extra: bool,
    /// From the keyword to the last token.
    pub span: Span,
}

/// A parameter of a `fn`.
#[derive(Clone, Debug, PartialEq)]
pub struct FnParam {
    /// The name.
    pub name: Name,
    /// Its value if the call omits it.
    pub default: Option<Expr>,
}

/// A number and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// Its value; `30%` is `0.3`.
    pub value: f64,
    /// As written, sign included where the grammar allows one.
    pub text: String,
}

/// An expression with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Which expression.
    pub kind: ExprKind,
    /// Its place, without the parentheses around it.
    pub span: Span,
}

/// The expressions of the language.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `0.2`, `30%`
    Number(Number),
    /// `"k3"`
    String(String),
    /// `true`, `false`
    Bool(bool),
    /// `advantages`
    Name(String),
    /// `clip_ppo(low = 0.2)`
    Call(Call),
    /// `policy.clipped`
    Field {
        /// The term's value.
        base: Box<Expr>,
        /// The extra's name.
        field: Name,
    },
    /// `-x`, `not x`
    Unary {
        /// The operator.
        op: UnaryOp,
        /// The operand.
        operand: Box<Expr>,
    },
    /// `a + b`
    Binary {
        /// The operator.
        op: BinaryOp,
        /// The place of the operator itself.
        op_span: Span,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
}

/// A call of a function, term, reduction or controller.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The name called, possibly qualified (`acme::my_term`).
    pub callee: Name,
    /// The arguments in the order written.
    pub args: Vec<Arg>,
}

/// One argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// `low` in `low = 0.2`.
    pub name: Option<Name>,
    /// The value.
    pub value: ArgValue,
    /// Name and value together.
    pub span: Span,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgValue {
    /// Any expression.
    Expr(Expr),
    /// `a .. b`, which is not an expression.
    Range {
        /// The lower end.
        lo: Expr,
        /// The upper end.
        hi: Expr,
    },
}

/// Operators with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-x`
    Neg,
    /// `not x`
    Not,
}

/// Operators with two operands, loosest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `or`
    Or,
    /// `and`
    And,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `^`, right associative
    Pow,
}

impl UnaryOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            UnaryOp::Neg => "-",
            UnaryOp::Not => "not",
        }
    }
}

impl BinaryOp {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Or => "or",
            BinaryOp::And => "and",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Pow => "^",
        }
    }
}

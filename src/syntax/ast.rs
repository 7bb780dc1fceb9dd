//! The syntax tree: the text as written, with places but no meaning yet.

use crate::span::{SourceId, Span, Spanned};
use crate::types::{Kind, Shape};

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
    /// `param NAME = NUMBER [in a .. b]`
    Param {
        /// The parameter.
        name: Name,
        /// Its default.
        value: Spanned<Number>,
        /// Its allowed range, both ends included.
        range: Option<(Spanned<Number>, Spanned<Number>)>,
    },
    /// `input NAME: token | seq | scalar [bool] [grad]`
    Input {
        /// The batch field.
        name: Name,
        /// Its shape.
        shape: Shape,
        /// Its kind.
        kind: Kind,
        /// Where it says `grad`, if gradient flows to it.
        gradient: Option<Span>,
    },
    /// `set NAME = NUMBER-OR-PARAM`
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
    /// `loss = EXPR`
    Loss {
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
    /// `import "other.aent"`
    Import {
        /// The path as written, without quotes.
        path: Spanned<String>,
    },
}

impl StatementKind {
    /// The formula at the end of the statement, if there is one.
    pub fn value(&self) -> Option<&Expr> {
        match self {
            Self::Set { value, .. }
            | Self::Fn { body: value, .. }
            | Self::Let { value, .. }
            | Self::Loss { value }
            | Self::Metric { value, .. } => Some(value),
            Self::Param { .. } | Self::Input { .. } | Self::Controller { .. } | Self::Import { .. } => None,
        }
    }
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

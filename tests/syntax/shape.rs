//! A tree as text with every operation in brackets, operator first: two trees are equal up to places when
//! their shapes are equal.

use aent::syntax::ast::{Arg, ArgValue, Call, Expr, ExprKind, File, Number, StatementKind};

pub(crate) fn file(file: &File) -> Vec<String> {
    file.statements.iter().map(|statement| kind(&statement.kind)).collect()
}

pub(crate) fn expr(expr: &Expr) -> String {
    match &expr.kind {
        ExprKind::Number(Number { value, text }) => format!("{text}={value:?}"),
        ExprKind::String(text) => format!("{text:?}"),
        ExprKind::Bool(value) => format!("<{value}>"),
        ExprKind::Name(name) => name.clone(),
        ExprKind::Call(inner) => call(inner),
        ExprKind::Field { base, field } => format!("[. {} {}]", self::expr(base), field.node),
        ExprKind::Unary { op, operand } => format!("[{} {}]", op.as_str(), self::expr(operand)),
        ExprKind::Binary { op, left, right, .. } => {
            format!("[{} {} {}]", op.as_str(), self::expr(left), self::expr(right))
        }
    }
}

fn call(call: &Call) -> String {
    let args: Vec<String> = call.args.iter().map(arg).collect();
    format!("{}({})", call.callee.node, args.join(", "))
}

fn arg(arg: &Arg) -> String {
    let name = arg.name.as_ref().map_or(String::new(), |name| format!("{} = ", name.node));
    match &arg.value {
        ArgValue::Expr(value) => format!("{name}{}", expr(value)),
        ArgValue::Range { lo, hi } => format!("{name}{} .. {}", expr(lo), expr(hi)),
    }
}

fn kind(kind: &StatementKind) -> String {
    match kind {
        StatementKind::Param { name, value, range } => {
            let range = range.as_ref().map(|(lo, hi)| (&lo.node, &hi.node));
            format!("param {} {:?} {range:?}", name.node, value.node)
        }
        StatementKind::Input { name, shape, kind, gradient } => {
            format!("input {} {shape:?} {kind:?} {}", name.node, gradient.is_some())
        }
        StatementKind::Set { name, value } => format!("set {} {}", name.node, expr(value)),
        StatementKind::Fn { name, params, body } => {
            let params: Vec<_> =
                params.iter().map(|param| (&param.name.node, param.default.as_ref().map(expr))).collect();
            format!("fn {} {params:?} {}", name.node, expr(body))
        }
        StatementKind::Let { name, value } => format!("let {} {}", name.node, expr(value)),
        StatementKind::Controller { name, call: inner, .. } => {
            format!("controller {} {}", name.node, call(inner))
        }
        StatementKind::Loss { value } => format!("loss {}", expr(value)),
        StatementKind::Metric { name, value } => format!("metric {} {}", name.node, expr(value)),
        StatementKind::Import { path } => format!("import {:?}", path.node),
    }
}

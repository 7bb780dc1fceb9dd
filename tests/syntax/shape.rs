//! A tree as text with every operation in brackets, operator first: two trees are equal up to places when
//! their shapes are equal.

use aent::syntax::ast::{Arg, ArgValue, Call, Expr, ExprKind, File, Number, ParamRange, StatementKind};

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
        StatementKind::Edition { number } => format!("edition {:?}", number.node),
        StatementKind::Param { name, value, range } => {
            let range = range.as_ref().map(|range| match range {
                ParamRange::Numbers(lo, hi) => format!("{:?} .. {:?}", lo.node, hi.node),
                ParamRange::Choices(choices) => {
                    format!("{:?}", choices.iter().map(|of| &of.node).collect::<Vec<_>>())
                }
            });
            format!("param {} {:?} {range:?}", name.node, value.node)
        }
        StatementKind::Input { name, ty, gradient } => {
            format!("input {} {ty:?} {}", name.node, gradient.is_some())
        }
        StatementKind::Set { name, value } => format!("set {} {}", name.node, expr(value)),
        StatementKind::Fn { name, params, block, body } => {
            let params: Vec<_> =
                params.iter().map(|param| (&param.name.node, param.default.as_ref().map(expr))).collect();
            let steps = block.as_ref().map(|block| {
                let steps = block.steps.iter();
                steps.map(|of| (&of.name.node, of.is_extra, expr(&of.value))).collect::<Vec<_>>()
            });
            format!("fn {} {params:?} {steps:?} {}", name.node, expr(body))
        }
        StatementKind::Let { name, value } => format!("let {} {}", name.node, expr(value)),
        StatementKind::Controller { name, call: inner, .. } => {
            format!("controller {} {}", name.node, call(inner))
        }
        StatementKind::Loss { name, value } => {
            format!("loss {:?} {}", name.as_ref().map(|name| &name.node), expr(value))
        }
        StatementKind::Assert { condition, message } => {
            format!("assert {} {:?}", expr(condition), message.node)
        }
        StatementKind::Metric { name, value } => format!("metric {} {}", name.node, expr(value)),
        StatementKind::Import { path, alias } => {
            format!("import {:?} {:?}", path.node, alias.as_ref().map(|alias| &alias.node))
        }
    }
}

; Later patterns win where several match.

(identifier) @variable

[
  "edition" "param" "input" "set" "let" "controller" "loss" "metric" "assert" "in" "as" "extra"
] @keyword
"fn" @keyword.function
"return" @keyword.return
"import" @keyword.import
["and" "or" "not"] @keyword.operator

(shape) @type.builtin
(kind) @type.builtin
(gradient) @attribute
(set name: (identifier) @variable.builtin)

(param name: (identifier) @constant)
(input name: (identifier) @property)
(parameter name: (identifier) @variable.parameter)
(function name: (identifier) @function)
(import alias: (identifier) @module)
(metric name: (identifier) @property)
(loss name: (identifier) @property)
(extra name: (identifier) @property)

(path) @function
(member name: (identifier) @property)
(call function: (identifier) @function.call)
(call function: (path) @function.call)
(call function: (member name: (identifier) @function.call))
(controller kind: (identifier) @constructor)
(controller kind: (path) @constructor)
(argument name: (identifier) @variable.parameter)
(call function: (member value: (identifier) @module))

((call function: (identifier) @function.builtin)
  (#any-of? @function.builtin
    "exp" "log" "sqrt" "abs" "sign" "min" "max" "clamp" "where" "sigmoid" "tanh" "softplus" "detach" "quantile"
    "top_fraction"))

((identifier) @variable.builtin
  (#any-of? @variable.builtin
    "log_prob" "old_log_prob" "ref_log_prob" "rollout_log_prob" "advantages" "values" "old_values" "returns" "rewards"
    "group" "response_mask" "step"))

(number) @number
(boolean) @boolean
(string) @string
(escape) @string.escape
(import path: (string) @string.special.path)

["+" "-" "*" "/" "^" "<" "<=" ">" ">=" "==" "!=" "=" ".."] @operator
["(" ")" "{" "}"] @punctuation.bracket
["," "." ":"] @punctuation.delimiter

(comment) @comment
((comment) @comment.documentation
  (#match? @comment.documentation "^#\\s*aent:"))

(function name: (identifier) @name) @definition.function
(param name: (identifier) @name) @definition.constant
(let name: (identifier) @name) @definition.variable
(controller name: (identifier) @name) @definition.variable
(call function: (identifier) @name) @reference.call

(function) @local.scope

(parameter name: (identifier) @local.definition.parameter)
(function (block (let name: (identifier) @local.definition.var)))
(function (block (extra name: (identifier) @local.definition.var)))
(source_file (let name: (identifier) @local.definition.var))
(param name: (identifier) @local.definition.constant)
(input name: (identifier) @local.definition.field)
(controller name: (identifier) @local.definition.var)
(function name: (identifier) @local.definition.function)
(import alias: (identifier) @local.definition.import)

(identifier) @local.reference

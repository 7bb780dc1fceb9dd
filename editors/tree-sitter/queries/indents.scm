[
  (arguments)
  (parameters)
  (block)
  (group)
] @indent.begin

[")" "}"] @indent.end @indent.branch

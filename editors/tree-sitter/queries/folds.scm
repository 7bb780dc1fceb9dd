[
  (function)
  (controller)
  (arguments)
  (block)
] @fold

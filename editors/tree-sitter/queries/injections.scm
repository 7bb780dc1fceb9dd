; Comments may hold links and marks such as TODO.
((comment) @injection.content
  (#set! injection.language "comment"))

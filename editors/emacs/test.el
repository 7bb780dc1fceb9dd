;;; test.el --- Run by test.sh -*- lexical-binding: t; -*-

;;; Code:

(require 'cl-lib)

(setq aent-program (getenv "AENT"))

(defun aent-test-await (what holds)
  "Wait until HOLDS gives something, which is WHAT."
  (let ((end (+ (float-time) 20)))
    (while (not (or (funcall holds) (> (float-time) end)))
      (accept-process-output nil 0.05))
    (or (funcall holds) (error "Not in time: %s" what))))

(find-file "main.aent")
(cl-assert (eq major-mode 'aent-mode))
(call-interactively #'eglot)
(aent-test-await "the server" #'eglot-current-server)
(let ((found (aent-test-await "a finding" (lambda () (flymake-start) (flymake-diagnostics)))))
  (cl-assert (= (length found) 1))
  (cl-assert (string-match-p "there is no function or term `tokn_mean`" (flymake-diagnostic-text (car found)))))
(goto-char (point-min))
(search-forward "exp")
(let* ((hover (jsonrpc-request (eglot--current-server-or-lose) :textDocument/hover (eglot--TextDocumentPositionParams)))
       (text (plist-get (plist-get hover :contents) :value)))
  (cl-assert (string-match-p "e to the power of" text)))
(goto-char 6)
(eglot-rename "r")
(cl-assert (string-match-p "tokn_mean(r \\* advantages)" (buffer-string)))
(message "Emacs: all answers are right")

;;; test.el ends here

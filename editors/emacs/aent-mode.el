;;; aent-mode.el --- Losses of reinforcement learning in .aent files -*- lexical-binding: t; -*-

;; Package-Requires: ((emacs "28.1") (eglot "1.9"))

;;; Commentary:
;; A major mode for .aent files, with the server `aent lsp' through eglot.

;;; Code:

(require 'eglot)

(defgroup aent nil "Losses of reinforcement learning in .aent files." :group 'languages)

(defcustom aent-program "aent"
  "The program aent."
  :type 'string)

(defvar aent-mode-syntax-table
  (let ((table (make-syntax-table)))
    (modify-syntax-entry ?# "<" table)
    (modify-syntax-entry ?\n ">" table)
    (modify-syntax-entry ?_ "w" table)
    (modify-syntax-entry ?\" "\"" table)
    (modify-syntax-entry ?\\ "\\" table)
    table)
  "How the characters of a .aent file belong together.")

(defvar aent-mode-font-lock
  `((,(regexp-opt '("edition" "param" "input" "set" "fn" "let" "controller" "loss" "metric" "assert" "import" "return"
                    "as" "in" "and" "or" "not")
                  'words)
     . font-lock-keyword-face)
    (,(regexp-opt '("true" "false") 'words) . font-lock-constant-face)
    ("\\_<fn\\s-+\\(\\sw+\\)" 1 font-lock-function-name-face)
    ("\\_<\\(?:let\\|param\\|input\\|controller\\|metric\\)\\s-+\\(\\sw+\\)" 1 font-lock-variable-name-face)
    ("\\_<\\(?:token\\|seq\\|scalar\\|candidates\\|logits\\)\\_>" . font-lock-type-face))
  "What is coloured without the server.")

;;;###autoload
(define-derived-mode aent-mode prog-mode "aent"
  "A mode for .aent files."
  (setq-local comment-start "# ")
  (setq-local comment-start-skip "#+\\s-*")
  (setq-local indent-tabs-mode nil)
  (setq-local tab-width 4)
  (setq font-lock-defaults '(aent-mode-font-lock)))

;;;###autoload
(add-to-list 'auto-mode-alist '("\\.aent\\'" . aent-mode))
(add-to-list 'eglot-server-programs (cons 'aent-mode (lambda (&rest _) (list aent-program "lsp"))))

(provide 'aent-mode)
;;; aent-mode.el ends here

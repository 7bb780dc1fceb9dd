/**
 * @file The grammar of .aent files for tree-sitter. The compiler's own is grammar/aent.pest, with
 * src/syntax/precedence.rs; a test parses every example with both.
 * @license MIT OR Apache-2.0
 */

/// <reference types="tree-sitter-cli/dsl" />
// @ts-check

/** Precedence, loosest first, as in src/syntax/precedence.rs. */
const PREC = { or: 1, and: 2, not: 3, compare: 4, sum: 5, product: 6, negate: 7, power: 8, operand: 9 };

/** One or more, with commas between them. */
const list1 = (rule) => seq(rule, repeat(seq(',', rule)));

/** The same, with a comma at the end if the author likes. */
const trailing = (rule) => seq(list1(rule), optional(','));

module.exports = grammar({
  name: 'aent',

  word: ($) => $.identifier,

  extras: ($) => [/\s/, '\uFEFF', $.comment],

  supertypes: ($) => [$.statement, $.expression],

  rules: {
    source_file: ($) => repeat($.statement),

    statement: ($) =>
      choice(
        $.edition,
        $.param,
        $.input,
        $.set,
        $.function,
        $.let,
        $.controller,
        $.loss,
        $.metric,
        $.assert,
        $.import,
      ),

    edition: ($) => seq('edition', field('number', $.number)),

    param: ($) =>
      seq(
        'param',
        field('name', $.identifier),
        '=',
        field('value', choice($._signed_number, $.string, $.boolean)),
        optional(seq('in', field('range', choice($.interval, $.choices)))),
      ),
    interval: ($) => seq($._signed_number, '..', $._signed_number),
    choices: ($) => list1($.string),
    _signed_number: ($) => seq(optional('-'), $.number),

    input: ($) =>
      seq(
        'input',
        field('name', $.identifier),
        ':',
        choice(
          seq(alias('candidates', $.shape), optional(alias('id', $.kind))),
          alias('logits', $.shape),
          seq(
            alias(choice('token', 'seq', 'scalar'), $.shape),
            optional(alias(choice('bool', 'int'), $.kind)),
            optional(alias('grad', $.gradient)),
          ),
        ),
      ),

    set: ($) => seq('set', field('name', $.identifier), '=', field('value', $.expression)),

    function: ($) =>
      seq(
        'fn',
        field('name', $.identifier),
        field('parameters', $.parameters),
        choice(seq('=', field('body', $.expression)), field('body', $.block)),
      ),
    parameters: ($) => seq('(', optional(trailing($.parameter)), ')'),
    parameter: ($) => seq(field('name', $.identifier), optional(seq('=', field('default', $.expression)))),
    block: ($) => seq('{', repeat(choice($.let, $.extra)), $.return, '}'),
    extra: ($) => seq('extra', field('name', $.identifier), '=', field('value', $.expression)),
    return: ($) => seq('return', $.expression),

    let: ($) => seq('let', field('name', $.identifier), '=', field('value', $.expression)),

    controller: ($) =>
      seq(
        'controller',
        field('name', $.identifier),
        '=',
        field('kind', choice($.identifier, $.path)),
        field('arguments', $.arguments),
      ),

    loss: ($) => seq('loss', optional(field('name', $.identifier)), '=', field('value', $.expression)),

    metric: ($) => seq('metric', field('name', $.identifier), '=', field('value', $.expression)),

    assert: ($) => seq('assert', field('condition', $.expression), ',', field('message', $.string)),

    import: ($) => seq('import', field('path', $.string), optional(seq('as', field('alias', $.identifier)))),

    expression: ($) =>
      choice($.number, $.string, $.boolean, $.identifier, $.path, $.call, $.member, $.group, $.unary, $.binary),

    group: ($) => seq('(', $.expression, ')'),

    call: ($) =>
      prec(
        PREC.operand,
        seq(field('function', choice($.identifier, $.path, $.member)), field('arguments', $.arguments)),
      ),
    arguments: ($) => seq('(', optional(trailing($.argument)), ')'),
    argument: ($) =>
      seq(
        optional(seq(field('name', $.identifier), '=')),
        field('value', $.expression),
        optional(seq('..', field('end', $.expression))),
      ),

    member: ($) =>
      prec.left(PREC.operand, seq(field('value', $.expression), '.', field('name', $.identifier))),

    unary: ($) =>
      choice(
        prec(PREC.negate, seq(field('operator', '-'), field('operand', $.expression))),
        prec(PREC.not, seq(field('operator', 'not'), field('operand', $.expression))),
      ),

    binary: ($) => {
      const left = (precedence, operator) =>
        prec.left(
          precedence,
          seq(field('left', $.expression), field('operator', operator), field('right', $.expression)),
        );
      return choice(
        left(PREC.or, 'or'),
        left(PREC.and, 'and'),
        left(PREC.compare, choice('<', '<=', '>', '>=', '==', '!=')),
        left(PREC.sum, choice('+', '-')),
        left(PREC.product, choice('*', '/')),
        prec.right(
          PREC.power,
          seq(field('left', $.expression), field('operator', '^'), field('right', $.expression)),
        ),
      );
    },

    // A plugin's name.
    path: (_) => token(prec(1, /[A-Za-z_][A-Za-z0-9_]*\s*::\s*[A-Za-z_][A-Za-z0-9_]*/)),

    identifier: (_) => /[A-Za-z_][A-Za-z0-9_]*/,
    boolean: (_) => choice('true', 'false'),
    number: (_) => /\d+(_\d+)*(\.\d+(_\d+)*)?([eE][+-]?\d+(_\d+)*)?%?/,
    string: ($) => seq('"', repeat(choice($.string_content, $.escape)), token.immediate('"')),
    string_content: (_) => token.immediate(prec(1, /[^"\\\n]+/)),
    escape: (_) => token.immediate(/\\["\\]/),
    comment: (_) => token(/#[^\n]*/),
  },
});

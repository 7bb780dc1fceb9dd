// What the TextMate grammar makes of a text, and that it knows the words of the compiler's grammar.

import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { before, test } from 'node:test';
import type * as Oniguruma from 'vscode-oniguruma';
import type * as Textmate from 'vscode-textmate';

// Run from the folder of package.json.
const root = process.cwd();
const load = createRequire(path.join(root, 'package.json'));
const oniguruma = load('vscode-oniguruma') as typeof Oniguruma;
const textmate = load('vscode-textmate') as typeof Textmate;

let grammar: Textmate.IGrammar;

before(async () => {
  const wasm = fs.readFileSync(load.resolve('vscode-oniguruma/release/onig.wasm'));
  await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
  const file = path.join(root, 'syntaxes/aent.tmLanguage.json');
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => textmate.parseRawGrammar(fs.readFileSync(file, 'utf8'), file),
  });
  const loaded = await registry.loadGrammar('source.aent');
  assert.ok(loaded);
  grammar = loaded;
});

/** The parts of a text with the innermost scope of each, without blanks. */
function parts(text: string): [string, string][] {
  let state = textmate.INITIAL;
  const out: [string, string][] = [];
  for (const line of text.split('\n')) {
    const { tokens, ruleStack } = grammar.tokenizeLine(line, state);
    state = ruleStack;
    for (const { startIndex, endIndex, scopes } of tokens) {
      const part = line.slice(startIndex, endIndex).trim();
      if (part !== '') {
        out.push([part, (scopes.at(-1) ?? '').replace(/\.aent$/, '')]);
      }
    }
  }
  return out;
}

test('every sort of word has its colour', () => {
  assert.deepEqual(parts('param eps = 30% in 0..1'), [
    ['param', 'keyword.declaration.param'],
    ['eps', 'variable.other.constant'],
    ['=', 'keyword.operator.assignment'],
    ['30%', 'constant.numeric'],
    ['in', 'keyword.control'],
    ['0', 'constant.numeric'],
    ['..', 'keyword.operator.range'],
    ['1', 'constant.numeric'],
  ]);
  assert.deepEqual(parts('let r = exp(log_prob - x) # why'), [
    ['let', 'keyword.declaration'],
    ['r', 'variable.other.definition'],
    ['=', 'keyword.operator.assignment'],
    ['exp', 'support.function'],
    ['(', 'punctuation.section.parens'],
    ['log_prob', 'support.variable.field'],
    ['-', 'keyword.operator.arithmetic'],
    ['x', 'variable.other'],
    [')', 'punctuation.section.parens'],
    ['#', 'punctuation.definition.comment'],
    ['why', 'comment.line.number-sign'],
  ]);
  assert.deepEqual(parts('controller b = acme::band(target = p.kept)'), [
    ['controller', 'keyword.declaration.controller'],
    ['b', 'variable.other.definition'],
    ['=', 'keyword.operator.assignment'],
    ['acme::band', 'entity.name.type.controller'],
    ['(', 'punctuation.section.parens'],
    ['target', 'variable.parameter'],
    ['=', 'keyword.operator.assignment'],
    ['p', 'variable.other'],
    ['.', 'punctuation.accessor'],
    ['kept', 'variable.other.property'],
    [')', 'punctuation.section.parens'],
  ]);
  assert.deepEqual(parts('input w: token bool'), [
    ['input', 'keyword.declaration.input'],
    ['w', 'variable.other.property'],
    [':', 'punctuation.separator.type'],
    ['token', 'support.type.shape'],
    ['bool', 'support.type.kind'],
  ]);
});

test('a string that is not closed ends with its line', () => {
  assert.deepEqual(parts('assert a, "open\nlet b = 1').at(3), ['"', 'punctuation.definition.string.begin']);
  assert.deepEqual(parts('assert a, "open\nlet b = 1').slice(-4).map(([part]) => part), ['let', 'b', '=', '1']);
});

test('each reserved word of the compiler is a keyword here', () => {
  const pest = fs.readFileSync(path.join(root, '../../grammar/aent.pest'), 'utf8');
  const rule = /^reserved = @\{([^}]*)\}/m.exec(pest)?.[1] ?? '';
  const words = [...rule.matchAll(/"([a-z]+)"/g)].map((match) => match[1] ?? '');
  assert.ok(words.length >= 19, `${words.length}`);
  for (const word of words) {
    const scope = parts(`${word} `)[0]?.[1] ?? '';
    assert.match(scope, /^(keyword|constant\.language)/, word);
  }
});

test('no part of an example is left without a colour', () => {
  const folder = path.join(root, '../../examples');
  const files = fs.readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.aent'));
  assert.ok(files.length > 60, `${files.length}`);
  for (const file of files) {
    for (const [part, scope] of parts(fs.readFileSync(path.join(folder, file), 'utf8'))) {
      assert.ok(scope !== 'source' && !scope.startsWith('invalid'), `${file}: ${part} is ${scope}`);
    }
  }
});

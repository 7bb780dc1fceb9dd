// The program itself, asked by VS Code's own client of the protocol, in the order in which the extension asks.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import {
  CodeActionRequest,
  CompletionItemKind,
  CompletionRequest,
  createProtocolConnection,
  Diagnostic,
  DidChangeTextDocumentNotification,
  DidChangeWatchedFilesNotification,
  DidOpenTextDocumentNotification,
  ExecuteCommandRequest,
  ExitNotification,
  HoverRequest,
  InitializedNotification,
  InitializeRequest,
  MarkupContent,
  Position,
  PositionEncodingKind,
  ProtocolConnection,
  PublishDiagnosticsNotification,
  Range,
  RegistrationRequest,
  RenameRequest,
  ShutdownRequest,
  StreamMessageReader,
  StreamMessageWriter,
  TextEdit,
  WorkspaceEdit,
} from 'vscode-languageserver-protocol/node';
import { TextDocument } from 'vscode-languageserver-textdocument';

// Run from the folder of package.json.
const program = process.env['AENT'] ?? path.resolve('../../target/debug/aent');
const helpers = '# A value times a factor.\nfn scaled(x, by = 0.5) = by * x\n';
const main = `import "helpers.aent"
# β 🙂
let ratio = exp(log_prob - old_log_prob)
let half = scaled(ratio)
loss = tokn_mean(half * advantages)
`;

/** An editor with one file open, and what the server shows in each. */
class Editor {
  document: TextDocument;
  readonly watched: string[] = [];
  private readonly shown = new Map<string, Diagnostic[]>();
  private changed: () => void = () => {};

  constructor(
    readonly connection: ProtocolConnection,
    readonly folder: string,
  ) {
    const uri = pathToFileURL(path.join(folder, 'main.aent')).href;
    this.document = TextDocument.create(uri, 'aent', 1, main);
    connection.onNotification(PublishDiagnosticsNotification.type, ({ uri, diagnostics }) => {
      this.shown.set(uri, diagnostics);
      this.changed();
    });
    connection.onRequest(RegistrationRequest.type, ({ registrations }) => {
      this.watched.push(...registrations.map(({ method }) => method));
    });
    connection.listen();
  }

  async start(): Promise<void> {
    const { capabilities, serverInfo } = await this.connection.sendRequest(InitializeRequest.type, {
      processId: process.pid,
      rootUri: null,
      workspaceFolders: [{ uri: pathToFileURL(this.folder).href, name: 'loss' }],
      // What the extension sends.
      initializationOptions: { size: { sequences: 2, length: 1024, vocabulary: 1000, candidates: 64 } },
      capabilities: {
        general: { positionEncodings: [PositionEncodingKind.UTF16] },
        textDocument: { completion: { completionItem: { snippetSupport: true } } },
        workspace: { didChangeWatchedFiles: { dynamicRegistration: true } },
      },
    });
    assert.equal(serverInfo?.name, 'aent');
    assert.ok(capabilities.renameProvider && capabilities.codeActionProvider && capabilities.hoverProvider);
    await this.connection.sendNotification(InitializedNotification.type, {});
    const { uri, languageId, version } = this.document;
    const textDocument = { uri, languageId, version, text: this.document.getText() };
    await this.connection.sendNotification(DidOpenTextDocumentNotification.type, { textDocument });
  }

  /** Waits until the findings of the open file are as expected. */
  async until(holds: (found: Diagnostic[]) => boolean): Promise<Diagnostic[]> {
    const deadline = setTimeout(() => this.changed(), 20_000);
    const end = Date.now() + 20_000;
    try {
      for (;;) {
        const found = this.shown.get(this.document.uri);
        if (found !== undefined && holds(found)) {
          return found;
        }
        assert.ok(Date.now() < end, `these findings did not come: ${JSON.stringify(found)}`);
        await new Promise<void>((resolve) => {
          this.changed = resolve;
        });
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Applies edits of the open file, and tells the server. */
  async apply(edits: TextEdit[]): Promise<void> {
    const { uri, version } = this.document;
    const text = TextDocument.applyEdits(this.document, edits);
    this.document = TextDocument.create(uri, 'aent', version + 1, text);
    await this.connection.sendNotification(DidChangeTextDocumentNotification.type, {
      textDocument: { uri, version: version + 1 },
      contentChanges: [{ text }],
    });
  }

  /** The position of the first place with these words. */
  at(words: string, further = 0): Position {
    const offset = this.document.getText().indexOf(words);
    assert.ok(offset >= 0, words);
    return this.document.positionAt(offset + further);
  }

  /** A request's place. */
  place(words: string, further = 0): { textDocument: { uri: string }; position: Position } {
    return { textDocument: { uri: this.document.uri }, position: this.at(words, further) };
  }
}

/** Runs a session, and checks that the program ends as the protocol wants it. */
async function session(run: (editor: Editor) => Promise<void>): Promise<void> {
  assert.ok(fs.existsSync(program), `there is no ${program}: \`cargo build -p aent-cli --no-default-features\`, or set AENT`);
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'aent-vscode-')));
  fs.writeFileSync(path.join(folder, 'helpers.aent'), helpers);
  fs.writeFileSync(path.join(folder, 'main.aent'), main);
  const environment = { ...process.env, XDG_CACHE_HOME: path.join(folder, 'cache') };
  const server = spawn(program, ['lsp'], { stdio: ['pipe', 'pipe', 'inherit'], env: environment });
  const ended = once(server, 'exit');
  const connection = createProtocolConnection(
    new StreamMessageReader(server.stdout),
    new StreamMessageWriter(server.stdin),
  );
  try {
    const editor = new Editor(connection, folder);
    await editor.start();
    await run(editor);
    await connection.sendRequest(ShutdownRequest.type);
    await connection.sendNotification(ExitNotification.type);
    assert.deepEqual(await ended, [0, null]);
  } finally {
    server.kill();
    connection.dispose();
    fs.rmSync(folder, { recursive: true });
  }
}

/** The edits of one file. */
function editsOf(edit: WorkspaceEdit | null | undefined, uri: string): TextEdit[] {
  const edits = edit?.changes?.[uri];
  assert.ok(edits !== undefined, JSON.stringify(edit));
  return edits;
}

test('a finding arrives with its place, and its quick fix mends it', () =>
  session(async (editor) => {
    const found = await editor.until((found) => found.length > 0);
    const wrong = 'tokn_mean';
    const range = Range.create(editor.at(wrong), editor.at(wrong, wrong.length));
    assert.deepEqual(found.map(({ code, range }) => ({ code, range })), [{ code: 'unknown-name', range }]);

    const { uri } = editor.document;
    const context = { diagnostics: found };
    const actions = await editor.connection.sendRequest(CodeActionRequest.type, {
      textDocument: { uri },
      range,
      context,
    });
    const action = actions?.[0];
    assert.ok(action !== undefined && 'edit' in action, JSON.stringify(actions));
    await editor.apply(editsOf(action.edit, uri));
    assert.equal(editor.document.getText(), main.replace(wrong, 'token_mean'));
    await editor.until((found) => found.every(({ severity }) => severity !== 1));
  }));

test('hover, completion and rename answer in a file with an error', () =>
  session(async (editor) => {
    const { connection, document } = editor;
    const hover = await connection.sendRequest(HoverRequest.type, editor.place('scaled(ratio)', 1));
    assert.match((hover?.contents as MarkupContent).value, /A value times a factor\./);

    // Behind `half * `, a batch field and the `let`s above can stand.
    const completion = await connection.sendRequest(CompletionRequest.type, editor.place('advantages', 3));
    const items = Array.isArray(completion) ? completion : completion?.items;
    const kinds = new Map(items?.map(({ label, kind }) => [label, kind]));
    assert.equal(kinds.get('advantages'), CompletionItemKind.Field);
    assert.equal(kinds.get('ratio'), CompletionItemKind.Variable);
    assert.equal(kinds.get('scaled'), CompletionItemKind.Function);

    const rename = await connection.sendRequest(RenameRequest.type, { ...editor.place('ratio'), newName: 'r' });
    const renamed = TextDocument.applyEdits(document, editsOf(rename, document.uri));
    assert.equal(renamed, main.replaceAll('ratio', 'r'));
    await assert.rejects(
      connection.sendRequest(RenameRequest.type, { ...editor.place('ratio'), newName: 'half' }),
      /half/,
    );
  }));

test('another file that changes on the disk is read again', () =>
  session(async (editor) => {
    await editor.until((found) => found.length === 1);
    assert.deepEqual(editor.watched, ['workspace/didChangeWatchedFiles']);
    const file = path.join(editor.folder, 'helpers.aent');
    fs.writeFileSync(file, helpers.replace('scaled', 'scale'));
    const changes = [{ uri: pathToFileURL(file).href, type: 2 as const }];
    await editor.connection.sendNotification(DidChangeWatchedFilesNotification.type, { changes });
    const found = await editor.until((found) => found.length === 2);
    assert.deepEqual(found[0]?.range.start, editor.at('scaled(ratio)'));
  }));

test('the command of the extension explains a file with the size from its settings', () =>
  session(async (editor) => {
    const { uri } = editor.document;
    await editor.apply([TextEdit.replace(Range.create(editor.at('tokn_mean'), editor.at('tokn_mean', 4)), 'token')]);
    const answer: unknown = await editor.connection.sendRequest(ExecuteCommandRequest.type, {
      command: 'aent.explain',
      arguments: [uri],
    });
    // 2 · 1024 tokens of 1000 logits, two bytes each.
    assert.match(String(answer), /3\.91 MiB/);
  }));

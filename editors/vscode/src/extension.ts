// The extension: it starts `aent lsp`, and starts it again when another program should be taken.

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as vscode from 'vscode';
import { LanguageClient, LanguageClientOptions, ServerOptions } from 'vscode-languageclient/node';
import { Explanations } from './explain';
import { find, Found, installCommand } from './find';
import { interpreter, onChange } from './python';

let client: LanguageClient | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const log = vscode.window.createOutputChannel('aent', { log: true });
  const explanations = new Explanations();
  const restart = async (): Promise<void> => {
    await client?.stop();
    client = await start(log, explanations);
  };
  context.subscriptions.push(
    log,
    vscode.workspace.registerTextDocumentContentProvider(Explanations.scheme, explanations),
    vscode.commands.registerCommand('aent.restart', restart),
    vscode.commands.registerCommand('aent.explainFile', async () => {
      const uri = vscode.window.activeTextEditor?.document.uri;
      if (uri !== undefined) {
        await vscode.commands.executeCommand('aent.explain', uri.toString());
      }
    }),
    vscode.workspace.onDidChangeConfiguration(async (change) => {
      if (change.affectsConfiguration('aent.path')) {
        await restart();
      }
    }),
  );
  await restart();
  const changes = await onChange(() => void restart());
  if (changes !== undefined) {
    context.subscriptions.push(changes);
  }
}

export async function deactivate(): Promise<void> {
  await client?.stop();
}

async function start(log: vscode.LogOutputChannel, explanations: Explanations): Promise<LanguageClient | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const python = await interpreter(folder);
  const found: Found = find({
    setting: vscode.workspace.getConfiguration('aent').get('path', ''),
    python,
    path: process.env['PATH'] ?? '',
    platform: process.platform,
    folder: folder?.fsPath,
    home: os.homedir(),
    runs,
  });
  if ('looked' in found) {
    log.warn(`no program aent in ${found.looked.join(', ')}`);
    void offer(python);
    return undefined;
  }
  log.info(`starting ${found.program} lsp`);
  const server: ServerOptions = { command: found.program, args: ['lsp'] };
  const options: LanguageClientOptions = {
    documentSelector: [{ language: 'aent' }],
    outputChannel: log,
    initializationOptions: { size: vscode.workspace.getConfiguration('aent').get('size') },
    synchronize: { configurationSection: 'aent' },
    middleware: {
      executeCommand: async (command, args, next) => {
        const answer: unknown = await next(command, args);
        if (command === 'aent.explain' && typeof answer === 'string') {
          await explanations.show(String(args[0]), answer);
        }
        return answer;
      },
    },
  };
  const started = new LanguageClient('aent', 'aent', server, options);
  try {
    await started.start();
    return started;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    void vscode.window.showErrorMessage(`${found.program} lsp did not start: ${message}`);
    return undefined;
  }
}

/** Offers the command that installs the program, ready in a terminal, or to choose a program. */
async function offer(python: string | undefined): Promise<void> {
  const [install, choose] = ['Show the command', 'Choose the program'];
  const answer = await vscode.window.showWarningMessage(
    'There is no program aent in the active Python environment or on PATH. It shows findings, types and completions.',
    install,
    choose,
  );
  if (answer === install) {
    const terminal = vscode.window.createTerminal('aent');
    terminal.show();
    // Not run: it belongs into the root of a clone.
    terminal.sendText(installCommand(python), false);
  } else if (answer === choose) {
    const [chosen] = (await vscode.window.showOpenDialog({ title: 'The program aent' })) ?? [];
    if (chosen !== undefined) {
      const settings = vscode.workspace.getConfiguration('aent');
      await settings.update('path', chosen.fsPath, vscode.ConfigurationTarget.Global);
    }
  }
}

function runs(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

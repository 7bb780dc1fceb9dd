// What `aent explain` says of a file, beside it in the editor.

import * as vscode from 'vscode';

/** Texts that the editor shows without a file. */
export class Explanations implements vscode.TextDocumentContentProvider {
  static readonly scheme = 'aent-explain';

  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();

  readonly onDidChange = this.changed.event;

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.toString()) ?? '';
  }

  /** Shows the explanation of a file, in place of an earlier one. */
  async show(file: string, text: string): Promise<void> {
    const path = vscode.Uri.parse(file).path;
    const uri = vscode.Uri.from({ scheme: Explanations.scheme, path: `${path}.md` });
    this.texts.set(uri.toString(), text);
    this.changed.fire(uri);
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.languages.setTextDocumentLanguage(document, 'markdown');
    await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preview: true });
  }
}

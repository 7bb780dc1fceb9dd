// Finds the program `aent`: where the settings say, in the active Python environment, on PATH.

import * as path from 'node:path';

/** What the search depends on. */
export interface Surroundings {
  /** The setting `aent.path`. */
  readonly setting: string;
  /** The interpreter of the active Python environment. */
  readonly python: string | undefined;
  /** The variable PATH. */
  readonly path: string;
  /** The operating system, as in `process.platform`. */
  readonly platform: NodeJS.Platform;
  /** The folder that a relative setting begins at. */
  readonly folder: string | undefined;
  /** The user's home, for `~` in the setting. */
  readonly home: string;
  /** Whether a file can be run. */
  readonly runs: (file: string) => boolean;
}

/** A program, or where it was looked for. */
export type Found = { readonly program: string } | { readonly looked: string[] };

/** Finds the program. A setting that leads nowhere is not passed over: its author wants to know. */
export function find(around: Surroundings): Found {
  const { setting, python, runs } = around;
  const paths = around.platform === 'win32' ? path.win32 : path.posix;
  if (setting !== '') {
    const absolute = setting.startsWith('~/')
      ? paths.join(around.home, setting.slice(2))
      : paths.resolve(around.folder ?? around.home, setting);
    return runs(absolute) ? { program: absolute } : { looked: [absolute] };
  }
  const name = around.platform === 'win32' ? 'aent.exe' : 'aent';
  const looked: string[] = [];
  if (python !== undefined) {
    const beside = paths.dirname(python);
    looked.push(paths.join(beside, name));
    if (around.platform === 'win32') {
      looked.push(paths.join(beside, 'Scripts', name));
    }
  }
  for (const folder of around.path.split(paths.delimiter).filter((folder) => folder !== '')) {
    looked.push(paths.join(folder, name));
  }
  const program = looked.find(runs);
  return program === undefined ? { looked } : { program };
}

/** The command that installs the program with an interpreter, from a clone's root. */
export function installCommand(python: string | undefined): string {
  const quoted = python === undefined ? 'python3' : /\s/.test(python) ? `"${python}"` : python;
  return `${quoted} -m pip install ./python`;
}

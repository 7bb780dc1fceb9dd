// Where the program is looked for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { find, installCommand, Surroundings } from '../src/find';

function around(programs: string[], other: Partial<Surroundings> = {}): Surroundings {
  return {
    setting: '',
    python: undefined,
    path: '/usr/local/bin:/usr/bin',
    platform: 'linux',
    folder: '/srv/loss',
    home: '/srv/me',
    runs: (file) => programs.includes(file),
    ...other,
  };
}

test('the active Python environment comes before PATH', () => {
  const both = ['/srv/loss/.venv/bin/aent', '/usr/bin/aent'];
  const python = '/srv/loss/.venv/bin/python';
  assert.deepEqual(find(around(both, { python })), { program: '/srv/loss/.venv/bin/aent' });
  assert.deepEqual(find(around(['/usr/bin/aent'], { python })), { program: '/usr/bin/aent' });
});

test('the setting comes before everything, from the folder or the home on', () => {
  const programs = ['/opt/aent', '/srv/loss/target/aent', '/srv/me/bin/aent', '/usr/bin/aent'];
  assert.deepEqual(find(around(programs, { setting: '/opt/aent' })), { program: '/opt/aent' });
  assert.deepEqual(find(around(programs, { setting: 'target/aent' })), { program: '/srv/loss/target/aent' });
  assert.deepEqual(find(around(programs, { setting: '~/bin/aent' })), { program: '/srv/me/bin/aent' });
});

test('a setting that leads nowhere is told, not passed over', () => {
  assert.deepEqual(find(around(['/usr/bin/aent'], { setting: '/opt/none' })), { looked: ['/opt/none'] });
});

test('on Windows programs lie beside the interpreter or in Scripts', () => {
  const windows = { platform: 'win32', python: 'C:\\env\\python.exe', path: 'C:\\bin' } as const;
  assert.deepEqual(find(around(['C:\\env\\Scripts\\aent.exe'], windows)), { program: 'C:\\env\\Scripts\\aent.exe' });
  assert.deepEqual(find(around(['C:\\bin\\aent.exe'], windows)), { program: 'C:\\bin\\aent.exe' });
});

test('without a program it is told where it was looked for', () => {
  assert.deepEqual(find(around([])), { looked: ['/usr/local/bin/aent', '/usr/bin/aent'] });
});

test('the command installs into the active environment', () => {
  assert.equal(installCommand('/srv/loss/.venv/bin/python'), '/srv/loss/.venv/bin/python -m pip install ./python');
  assert.equal(installCommand('/my env/python'), '"/my env/python" -m pip install ./python');
  assert.equal(installCommand(undefined), 'python3 -m pip install ./python');
});

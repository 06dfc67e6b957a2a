// Commands on this machine, as the local host runs them.
import { expect, test } from 'vitest';
import { execLocal } from '../../src/host/local.ts';

test('a program speaks untranslated, whatever the language here: its words are read', async () => {
  process.env['LC_ALL'] = 'de_DE.UTF-8';
  const { signal } = new AbortController();
  const output = await execLocal({ argv: ['sh', '-c', 'echo "$LC_ALL"'], timeoutMs: 10_000 }, signal);
  expect(output).toEqual({ exitCode: 0, stdout: 'C\n', stderr: '' });
});

import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { jsonSchemas } from '../../src/json-schemas.ts';
import { parseScenario } from '../../src/scenario/parse.ts';

const FOLDER = new URL('../../scenarios/', import.meta.url);

test.each(Object.entries(jsonSchemas()))(
  'scenarios/%s is what the schemas give (npm run build writes it)',
  async (name, text) => {
    expect(await readFile(new URL(name, FOLDER), 'utf8')).toBe(text);
  },
);

test('bundled scenarios name the schema for editors', async () => {
  for (const file of (await readdir(FOLDER)).filter((each) => each.endsWith('.yaml'))) {
    const [first] = (await readFile(new URL(file, FOLDER), 'utf8')).split('\n');
    expect(first).toBe('# yaml-language-server: $schema=./scenario.schema.json');
  }
});

test('the keys that the manual only shows in comments are right as well', async () => {
  const text = await readFile(new URL('quick.yaml', FOLDER), 'utf8');
  const [, comments = ''] = text.split('\n# More keys:\n');
  const uncommented = comments.replaceAll(/^# ?/gm, '');
  expect(parseScenario(`name: manual\ndescription: All of them\n${uncommented}`)).toMatchObject({
    kind: 'scenario',
    scenario: { levels: [{ vcpus: 2, memory: 2048, cpu: { mode: 'custom' }, expect: { dmesg: 'clean' } }] },
  });
});

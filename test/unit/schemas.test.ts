import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { jsonSchemas } from '../../src/json-schemas.ts';

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

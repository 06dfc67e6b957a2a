// Run at the end of the build: writes the published JSON schemas to scenarios/ where they differ.
import { readFile, writeFile } from 'node:fs/promises';
import { jsonSchemas } from './json-schemas.ts';

for (const [name, text] of Object.entries(jsonSchemas())) {
  const file = new URL(`../scenarios/${name}`, import.meta.url);
  const before = await readFile(file, 'utf8').catch(() => null);
  if (before !== text) await writeFile(file, text);
}

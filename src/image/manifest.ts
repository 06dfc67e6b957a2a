// What a built image says about itself, in the file manifest.json beside the image's files.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { OUTPUTS } from './build.ts';
import type { Recipe } from './recipe.ts';

const Digest = z.string().regex(/^[0-9a-f]{64}$/);

export const Manifest = z.object({
  format: z.literal('nested-check.image/1'),
  /** Name of the recipe, which is the name of its folder. */
  name: z.string(),
  /** Folder of the recipe when it was built. */
  recipe: z.string(),
  recipeDigest: Digest,
  /** sha256 over the lines `sha256  name` of `files`: equal digests are equal images. */
  imageDigest: Digest,
  files: z.record(z.string(), z.object({ sizeBytes: z.int(), sha256: Digest })),
  sizeBytes: z.int(),
  builtAt: z.iso.datetime(),
  /** Package → version, as dpkg writes it. */
  packages: z.record(z.string(), z.string()),
  /** Release of the kernel, such as 6.1.0-37-cloud-amd64; null where no linux-image package is in the image. */
  kernel: z.string().nullable(),
});
export type Manifest = z.output<typeof Manifest>;

/** Looks at the files that a build left in a folder. */
export async function describeImage(folder: string, recipe: Recipe): Promise<Manifest> {
  const files: Manifest['files'] = {};
  for (const name of OUTPUTS) {
    const path = join(folder, name);
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    files[name] = { sizeBytes: (await stat(path)).size, sha256: hash.digest('hex') };
  }
  const packages = parsePackages(await readFile(join(folder, 'packages.tsv'), 'utf8'));
  const lines = OUTPUTS.map((name) => `${files[name]?.sha256}  ${name}\n`);
  return {
    format: 'nested-check.image/1',
    name: recipe.name,
    recipe: recipe.folder,
    recipeDigest: recipe.digest,
    imageDigest: createHash('sha256').update(lines.join('')).digest('hex'),
    files,
    sizeBytes: Object.values(files).reduce((sum, file) => sum + file.sizeBytes, 0),
    builtAt: new Date().toISOString(),
    packages,
    kernel: kernelRelease(packages),
  };
}

/** Lines `name<TAB>version`. */
export function parsePackages(text: string): Record<string, string> {
  const rows = text.split('\n').map((line) => line.split('\t'));
  return Object.fromEntries(rows.filter((row): row is [string, string] => row.length === 2 && row[0] !== ''));
}

function kernelRelease(packages: Readonly<Record<string, string>>): string | null {
  const name = Object.keys(packages).find((candidate) => /^linux-image-\d/.test(candidate));
  return name === undefined ? null : name.replace('linux-image-', '').replace(/-unsigned$/, '');
}

import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { imageList, imageRemove } from '../../src/commands/image.ts';
import type { Environment } from '../../src/environment.ts';
import { ensureImage, imageCache, listImages, openImage, removeImage } from '../../src/image/cache.ts';
import { describeImage, parsePackages } from '../../src/image/manifest.ts';
import { readRecipe } from '../../src/image/recipe.ts';

const TINY = fileURLToPath(new URL('../fixtures/images/tiny', import.meta.url));
const FILES = {
  vmlinuz: 'kernel',
  'initramfs.img': 'initramfs',
  'root.erofs': 'root',
  'packages.tsv': 'bash\t5.2\nlinux-image-6.1.0-37-cloud-amd64\t6.1.140-1\n',
};

let folder: string;
let written: string;
let environment: Environment;
beforeEach(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
  written = '';
  const stream = new Writable({
    write(chunk, _, done) {
      written += chunk;
      done();
    },
  });
  environment = {
    cwd: folder,
    env: { XDG_CACHE_HOME: folder },
    stdout: stream,
    stderr: stream,
    signal: new AbortController().signal,
  };
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Puts an image of the tiny recipe into the cache as a build would, under this digest. */
async function putImage(digest?: string): Promise<string> {
  const recipe = await readRecipe(TINY, '/');
  const recipeDigest = digest ?? recipe.digest;
  const entry = join(imageCache(environment), recipeDigest);
  mkdirSync(entry, { recursive: true });
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(entry, name), text);
  const manifest = await describeImage(entry, { ...recipe, digest: recipeDigest });
  writeFileSync(join(entry, 'manifest.json'), JSON.stringify(manifest));
  return entry;
}

test('the cache is under XDG_CACHE_HOME, else under the home folder', () => {
  expect(imageCache(environment)).toBe(join(folder, 'nested-check/images'));
  expect(imageCache({ ...environment, env: { HOME: '/h' } })).toBe('/h/.cache/nested-check/images');
});

describe('manifest', () => {
  test('says what is in the image', async () => {
    const entry = await putImage();
    const image = await openImage(entry);
    expect(image).toMatchObject({
      name: 'tiny',
      folder: entry,
      kernel: join(entry, 'vmlinuz'),
      root: join(entry, 'root.erofs'),
    });
    expect(image.manifest).toMatchObject({
      format: 'nested-check.image/1',
      kernel: '6.1.0-37-cloud-amd64',
      sizeBytes: Object.values(FILES).join('').length,
      packages: { bash: '5.2' },
    });
    expect(image.imageDigest).toMatch(/^[0-9a-f]{64}$/);
  });

  test('packages: lines that are none are left out', () => {
    expect(parsePackages('a\t1\n\nb\nc\t2\td\n\te\n')).toEqual({ a: '1' });
  });
});

describe('opening', () => {
  test('a built image is used without building', async () => {
    const entry = await putImage();
    const lines: string[] = [];
    const image = await ensureImage(TINY, { environment, onProgress: (line) => lines.push(line) });
    expect(image.folder).toBe(entry);
    expect(lines).toEqual([]);
  });

  test('a folder without manifest, with links', async () => {
    const bare = join(folder, 'bare');
    mkdirSync(bare);
    for (const name of ['vmlinuz', 'initramfs.img']) writeFileSync(join(bare, name), 'x');
    symlinkSync('/dev/null', join(bare, 'root.erofs'));
    const image = await ensureImage('./bare', { environment, onProgress: () => {} });
    expect(image).toMatchObject({
      name: 'bare',
      recipeDigest: null,
      imageDigest: null,
      manifest: null,
      root: join(bare, 'root.erofs'),
    });
  });

  test('what is missing or cut short is said', async () => {
    const entry = await putImage();
    truncateSync(join(entry, 'root.erofs'), 1);
    await expect(openImage(entry)).rejects.toMatchObject({
      code: 'image',
      message: expect.stringContaining('root.erofs has 1 bytes, not 4'),
    });
    rmSync(join(entry, 'vmlinuz'));
    await expect(openImage(entry)).rejects.toThrow("can't read vmlinuz");
    await expect(ensureImage('./nowhere', { environment, onProgress: () => {} })).rejects.toMatchObject({
      code: 'image',
    });
  });
});

describe('listing', () => {
  test('current, stale and not built', async () => {
    await putImage();
    await putImage('0'.repeat(64));
    const states = (await listImages(environment)).map(({ name, state }) => `${name} ${state}`);
    expect(states).toEqual(expect.arrayContaining(['debian-12 not-built', 'tiny current', 'tiny stale']));
  });

  test('half-made and damaged entries are not listed', async () => {
    const entry = await putImage();
    writeFileSync(join(entry, 'manifest.json'), '{"format"');
    mkdirSync(join(imageCache(environment), '.build-x'));
    expect((await listImages(environment)).filter(({ name }) => name === 'tiny')).toEqual([]);
  });

  test('as a table and as JSON', async () => {
    await putImage();
    expect(await imageList({}, environment)).toBe(0);
    expect(written).toMatch(/^NAME +STATE +DIGEST +BUILT +SIZE +KERNEL\n/);
    expect(written).toMatch(/\ndebian-12 +not built +[0-9a-f]{12}\n/);
    expect(written).toMatch(/\ntiny +current +[0-9a-f]{12} +\d{4}-\d\d-\d\d \d\d:\d\d +0 MB +6.1.0-37-cloud-amd64\n/);
    written = '';
    await imageList({ json: true }, environment);
    expect(JSON.parse(written)).toContainEqual(
      expect.objectContaining({ name: 'tiny', sizeBytes: 71, packages: expect.objectContaining({ bash: '5.2' }) }),
    );
  });
});

describe('removing', () => {
  test('by name, by digest, and what is stale', async () => {
    const entry = await putImage();
    const stale = await putImage('0'.repeat(64));
    expect(await imageRemove(undefined, environment)).toBe(0);
    expect(written).toBe(`removed tiny ${stale}\n`);
    const { imageDigest } = await openImage(entry);
    expect(await removeImage((imageDigest as string).slice(0, 8), environment)).toHaveLength(1);
    await putImage();
    await putImage('0'.repeat(64));
    expect(await removeImage('tiny', environment)).toHaveLength(2);
    await expect(removeImage('tiny', environment)).rejects.toMatchObject({
      code: 'input',
      message: 'no built image tiny',
    });
  });

  test('nothing stale: says so', async () => {
    await imageRemove(undefined, environment);
    expect(written).toContain('no image is out of date');
  });
});

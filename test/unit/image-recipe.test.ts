import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dirSync } from 'tmp';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isDownloadFailure, mmdebstrapCommand, progressOf, spaceProblem } from '../../src/image/build.ts';
import { bundledRecipes, parseRecipe, readRecipe } from '../../src/image/recipe.ts';

const TINY = fileURLToPath(new URL('../fixtures/images/tiny', import.meta.url));

let folder: string;
beforeEach(() => {
  folder = dirSync({ prefix: 'nested-check-test' }).name;
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A copy of the tiny recipe under another name, with changes. */
function recipe(name: string, files: Record<string, string> = {}): string {
  const path = join(folder, name);
  cpSync(TINY, path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

describe('digest', () => {
  test('is the same for the same files, wherever they are', async () => {
    const [here, there] = await Promise.all([readRecipe(TINY, '/'), readRecipe(recipe('other'), '/')]);
    expect(here.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(there.digest).toBe(here.digest);
    expect([...here.files.keys()].sort()).toEqual(['customize.sh', 'greeting', 'recipe.yaml']);
  });

  test('changes with any file: content, name, one more', async () => {
    const digests = await Promise.all([
      readRecipe(recipe('same'), '/'),
      readRecipe(recipe('content', { greeting: 'hallo\n' }), '/'),
      readRecipe(recipe('one-more', { another: '' }), '/'),
      readRecipe(recipe('recipe', { 'recipe.yaml': 'description: x\nsuite: trixie\n' }), '/'),
    ]);
    expect(new Set(digests.map(({ digest }) => digest)).size).toBe(4);
  });

  test('covers files of the recipe that it builds on, where it has none itself', async () => {
    const yaml = 'description: child\nsuite: trixie\nfrom: base\n';
    const base = recipe('base');
    const child = join(folder, 'child');
    mkdirSync(child);
    writeFileSync(join(child, 'recipe.yaml'), yaml);
    const before = await readRecipe('child/', folder);
    expect(before.files.get('customize.sh')).toBe(join(base, 'customize.sh'));
    expect(before.files.get('recipe.yaml')).toBe(join(child, 'recipe.yaml'));
    writeFileSync(join(base, 'greeting'), 'changed');
    expect((await readRecipe('child/', folder)).digest).not.toBe(before.digest);
  });
});

describe('problems', () => {
  test('all at once, each with its place', () => {
    const text = 'description: x\nsuite: Book Worm\npackages:\n  - good\n  - Bad Name\nvariant: huge\ncolour: red\n';
    const lines = messageOf(() => parseRecipe(text, 'a/recipe.yaml')).split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual([
      'a/recipe.yaml:2:8',
      'a/recipe.yaml:6:10',
      'a/recipe.yaml:5:5',
      'a/recipe.yaml:7:9',
    ]);
    expect(lines[0]).toContain('must be a Debian suite');
    expect(lines[2]).toContain('packages.1: must be a Debian package name');
    expect(lines[3]).toContain('colour');
  });

  test('wrong YAML, an empty file, a list, an alias to itself', () => {
    expect(messageOf(() => parseRecipe('a: [1', 'r'))).toMatch(/^r:1:\d+ /);
    expect(messageOf(() => parseRecipe('', 'r'))).toMatch(/^r:1:1 description: .*\nr:1:1 suite: /);
    expect(messageOf(() => parseRecipe('- a', 'r'))).toMatch(/^r:1:1 /);
    expect(messageOf(() => parseRecipe('a: *b', 'r'))).toMatch(/^r:1:\d+ /);
  });

  test('no such recipe: names those that there are', async () => {
    await expect(readRecipe('debian-99', '/')).rejects.toMatchObject({
      code: 'input',
      hint: expect.stringContaining('debian-12'),
    });
    await expect(readRecipe('./nowhere', folder)).rejects.toThrow(`no image recipe in ${folder}/nowhere`);
  });

  test('`from` in a circle, and a recipe without customize.sh', async () => {
    recipe('one', { 'recipe.yaml': 'description: x\nsuite: trixie\nfrom: two\n' });
    recipe('two', { 'recipe.yaml': 'description: x\nsuite: trixie\nfrom: one\n' });
    await expect(readRecipe('./one', folder)).rejects.toThrow('one → two → one');
    rmSync(join(recipe('empty'), 'customize.sh'));
    await expect(readRecipe('./empty', folder)).rejects.toThrow('no customize.sh');
  });
});

test('bundled recipes are all right', async () => {
  const names = await bundledRecipes();
  expect(names).toContain('debian-12');
  for (const name of names) await expect(readRecipe(name, '/')).resolves.toMatchObject({ name });
});

describe('build', () => {
  test('command line: one word an argument, mounts hidden only where we are root', async () => {
    const tiny = { ...(await readRecipe(TINY, '/')), security: 'http://deb.debian.org/debian-security' };
    const root = mmdebstrapCommand(tiny, 'http://mirror/debian', true, true);
    expect(root.slice(0, 4)).toEqual(['unshare', '--mount', 'mmdebstrap', '--mode=unshare']);
    expect(root).toContain('--customize-hook=download /nested-check/out/vmlinuz vmlinuz');
    expect(root.slice(-4)).toEqual([
      'bookworm',
      '-',
      'http://mirror/debian',
      'deb http://deb.debian.org/debian-security bookworm-security main',
    ]);
    const user = mmdebstrapCommand(tiny, 'http://mirror/debian', false, false);
    expect(user.slice(0, 2)).toEqual(['mmdebstrap', '--mode=auto']);
    expect(user.join(' ')).not.toContain('--keyring');
  });

  test('progress in few words', () => {
    expect(progressOf('I: installing remaining packages inside the chroot...')).toBe(
      'installing remaining packages inside the chroot',
    );
    expect(progressOf('nested-check: compressing')).toBe('compressing');
    expect(progressOf('Setting up bash')).toBeNull();
  });

  test('only failures of the network are worth another attempt', () => {
    expect(isDownloadFailure(['E: Failed to fetch http://deb.debian.org/x  404  Not Found'])).toBe(true);
    expect(isDownloadFailure(['E: Unable to locate package nonsense'])).toBe(false);
  });

  test('says how much room is missing', () => {
    expect(spaceProblem('/x', 3e9, 3e9)).toBeNull();
    expect(spaceProblem('/x', 3e9, 1.2e9)).toBe('building an image needs 3.0 GB in /x, and 1.2 GB are free');
  });
});

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('nothing was thrown');
}

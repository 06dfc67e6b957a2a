// What an image is made from: a folder with recipe.yaml, customize.sh and the files that go in.
import { createHash } from 'node:crypto';
import { access, readdir, readFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isNode, LineCounter, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { NestedCheckError } from '../errors.ts';

/** Goes into each recipe digest: raise it when the builder itself makes something else of the same recipe. */
const BUILDER_VERSION = '1';

/** Recipes that come with the program; the same place seen from src/image and from dist/image. */
const BUNDLED = fileURLToPath(new URL('../../images', import.meta.url));

const word = (pattern: RegExp, message: string) => z.string().regex(pattern, message);
const mirror = word(/^(https?|file|copy):\/\/[^\s]+$/, 'must be an http, https, file or copy URL without blanks');

const RecipeFile = z.strictObject({
  description: z.string().min(1),
  suite: word(/^[a-z][a-z0-9.-]*$/, 'must be a Debian suite, such as bookworm'),
  mirror: mirror.default('http://deb.debian.org/debian'),
  security: mirror.optional().describe('security archive, such as http://deb.debian.org/debian-security; default none'),
  components: z.array(word(/^[a-z][a-z0-9/-]*$/, 'must be an archive component, such as main')).default(['main']),
  variant: z.enum(['custom', 'essential', 'apt', 'minbase']).default('essential').describe('see mmdebstrap(1)'),
  packages: z.array(word(/^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$/, 'must be a Debian package name')).default([]),
  from: word(/^[a-z0-9][a-z0-9.-]*$/, 'must be the name of a recipe').optional(),
});

/** A recipe that was read and checked. */
export interface Recipe extends Readonly<z.output<typeof RecipeFile>> {
  /** Name of the folder. */
  readonly name: string;
  readonly folder: string;
  /** Files that go into the build: path relative to the recipe → absolute path (it may lie in the `from` recipe). */
  readonly files: ReadonlyMap<string, string>;
  /** sha256, hex, over all the files and the builder's version: the same digest makes the same kind of image. */
  readonly digest: string;
}

/**
 * Reads a recipe by bundled name, or by path where it has a slash.
 * @param cwd what a relative path starts from
 * @throws NestedCheckError `input`: no such recipe (the message lists the bundled ones), or problems in the file,
 * all of them, as `file:line:col message`
 */
export async function readRecipe(nameOrPath: string, cwd: string): Promise<Recipe> {
  const folder = await findRecipe(nameOrPath, cwd);
  const recipe = parseRecipe(await readFile(join(folder, 'recipe.yaml'), 'utf8'), join(folder, 'recipe.yaml'));
  const files = await collectFiles(folder, recipe.from, [basename(folder)]);
  if (!files.has('customize.sh')) {
    throw new NestedCheckError('input', `${folder}: no customize.sh, which makes the image's files`, {
      hint: 'images/debian-12/customize.sh is a commented example',
    });
  }
  return { ...recipe, name: basename(folder), folder, files, digest: await digestFiles(files) };
}

/** Names of the recipes that come with the program, sorted. */
export async function bundledRecipes(): Promise<string[]> {
  const entries = await readdir(BUNDLED).catch(() => []);
  const found = await Promise.all(entries.map((name) => exists(join(BUNDLED, name, 'recipe.yaml'))));
  return entries.filter((_, index) => found[index]).sort();
}

/**
 * Checks the text of a recipe.yaml.
 * @param path how messages call the file
 * @throws NestedCheckError `input` with one line for each problem
 */
export function parseRecipe(text: string, path: string): z.output<typeof RecipeFile> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  const broken = document.errors.map((error) => `${at(error.pos[0])} ${error.message.split('\n')[0]}`);
  visit(document, {
    Alias: (_, alias) => {
      if (!alias.resolve(document)) broken.push(`${at(alias.range?.[0] ?? 0)} no anchor &${alias.source} above`);
    },
  });
  if (broken.length > 0) throw new NestedCheckError('input', broken.join('\n'));
  const result = RecipeFile.safeParse(document.toJS() ?? {});
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    // a missing key has no place of its own: the nearest thing around it is named
    for (
      let path = [...issue.path, ...(issue.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [])];
      ;
      path.pop()
    ) {
      const key = path.at(-1);
      const node = path.length === 0 ? document.contents : document.getIn(path, true);
      if (isNode(node))
        return `${at(node.range?.[0] ?? 0)} ${issue.path.join('.')}${key === undefined ? '' : ': '}${issue.message}`;
      if (path.length === 0) return `${at(0)} ${issue.path.join('.')}: ${issue.message}`;
    }
  });
  throw new NestedCheckError('input', problems.join('\n'), {
    hint: 'images/debian-12/recipe.yaml is a commented example',
  });
}

async function findRecipe(nameOrPath: string, cwd: string): Promise<string> {
  const isPath = nameOrPath.includes('/') || isAbsolute(nameOrPath);
  const folder = isPath ? resolve(cwd, nameOrPath) : join(BUNDLED, nameOrPath);
  if (!nameOrPath.startsWith('.') || isPath) {
    if (await exists(join(folder, 'recipe.yaml'))) return folder;
  }
  const names = await bundledRecipes();
  throw new NestedCheckError('input', `no image recipe ${isPath ? `in ${folder}` : nameOrPath}`, {
    hint: `bundled recipes: ${names.join(', ') || 'none'}; for one of your own give the path of its folder, with a slash`,
  });
}

/** The recipe's own files, then what it lacks from the recipe that it builds on. */
async function collectFiles(folder: string, from: string | undefined, seen: string[]): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isDirectory() && !entry.name.endsWith('~')) files.set(relative(folder, path), path);
  }
  if (from === undefined) return files;
  if (seen.includes(from))
    throw new NestedCheckError('input', `${folder}: \`from\` runs in a circle: ${[...seen, from].join(' → ')}`);
  const sibling = join(dirname(folder), from);
  const base = (await exists(join(sibling, 'recipe.yaml'))) ? sibling : await findRecipe(from, dirname(folder));
  const baseRecipe = parseRecipe(await readFile(join(base, 'recipe.yaml'), 'utf8'), join(base, 'recipe.yaml'));
  for (const [name, path] of await collectFiles(base, baseRecipe.from, [...seen, from])) {
    if (!files.has(name)) files.set(name, path);
  }
  return files;
}

async function digestFiles(files: ReadonlyMap<string, string>): Promise<string> {
  const hash = createHash('sha256').update(`builder ${BUILDER_VERSION}\n`);
  for (const name of [...files.keys()].sort()) {
    const content = await readFile(files.get(name) as string);
    hash.update(`${name}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

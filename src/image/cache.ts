// Built images, found by the digest of what they were made from; a build appears in here whole or not at all.
import { access, chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { buildImage, OUTPUTS, removeStage } from './build.ts';
import { withLock } from './lock.ts';
import { describeImage, Manifest } from './manifest.ts';
import { bundledRecipes, type Recipe, readRecipe } from './recipe.ts';

/** A built image; the paths are absolute. What is not known of an image without a manifest is null. */
export interface Image {
  readonly name: string;
  readonly recipeDigest: string | null;
  readonly imageDigest: string | null;
  readonly folder: string;
  /** File that QEMU takes as -kernel. */
  readonly kernel: string;
  readonly initramfs: string;
  /** Read-only erofs disk; may be a link to a block device. */
  readonly root: string;
  readonly manifest: Manifest | null;
}

/** One line of `image list`. `stale`: its recipe has changed or gone since it was built. */
export interface ListedImage {
  readonly name: string;
  readonly state: 'current' | 'stale' | 'not-built';
  readonly recipeDigest: string;
  readonly folder: string | null;
  readonly manifest: Manifest | null;
}

/** Folder of all cached images: $XDG_CACHE_HOME/nested-check/images, or the same in ~/.cache. */
export function imageCache(environment: Environment): string {
  const home = environment.env['HOME'] || homedir();
  return join(environment.env['XDG_CACHE_HOME'] || join(home, '.cache'), 'nested-check', 'images');
}

/**
 * The image of a recipe, built now if this recipe never was; or one that was built elsewhere.
 * @param nameOrPath a bundled recipe's name, or (with a slash) the folder of a recipe or of a built image
 * @throws NestedCheckError `input` (no such recipe, or a wrong one), `host`, `image`, `interrupted`
 */
export async function ensureImage(
  nameOrPath: string,
  options: { environment: Environment; onProgress: (line: string) => void },
): Promise<Image> {
  const { environment, onProgress } = options;
  const path = resolve(environment.cwd, nameOrPath);
  if (nameOrPath.includes('/') && !(await exists(join(path, 'recipe.yaml')))) return openImage(path);
  const recipe = await readRecipe(nameOrPath, environment.cwd);
  const cache = imageCache(environment);
  const entry = join(cache, recipe.digest);
  const cached = await openEntry(entry);
  if (cached !== null) return cached;
  await mkdir(cache, { recursive: true }).catch((cause) => {
    throw new NestedCheckError('host', `can't make the cache folder ${cache}: ${cause.message}`, {
      hint: 'XDG_CACHE_HOME names another place',
      cause,
    });
  });
  const lock = {
    signal: environment.signal,
    onWaiting: (pid: string) => onProgress(`image ${recipe.name}: waiting for another build (pid ${pid})`),
  };
  return withLock(join(cache, '.lock'), lock, async () => {
    // whoever had the lock before us may have built it, or died over it
    const built = await openEntry(entry);
    if (built !== null) return built;
    for (const name of await readdir(cache)) if (name.startsWith('.build-')) await removeStage(join(cache, name));
    return buildEntry(recipe, entry, options);
  });
}

/** Throws as ensureImage does for an image that there is not, and builds nothing. */
export async function checkImage(nameOrPath: string, { cwd }: Environment): Promise<void> {
  const path = resolve(cwd, nameOrPath);
  if (nameOrPath.includes('/') && !(await exists(join(path, 'recipe.yaml')))) await openImage(path);
  else await readRecipe(nameOrPath, cwd);
}

/**
 * An image in a folder: one of the cache, or any with vmlinuz, initramfs.img and root.erofs (links will do).
 * @throws NestedCheckError `image` when a file is missing or has another size than the manifest says
 */
export async function openImage(folder: string): Promise<Image> {
  const paths = {
    kernel: join(folder, 'vmlinuz'),
    initramfs: join(folder, 'initramfs.img'),
    root: join(folder, 'root.erofs'),
  };
  for (const path of Object.values(paths)) {
    await access(path).catch((cause) => {
      throw new NestedCheckError('image', `no image in ${folder}: can't read ${basename(path)}`, {
        hint: 'an image is a folder with vmlinuz, initramfs.img and root.erofs; nested-check image list shows those in the cache',
        cause,
      });
    });
  }
  const manifest = await readManifest(folder);
  for (const [name, file] of Object.entries(manifest?.files ?? {})) {
    const found = await stat(join(folder, name)).catch(() => null);
    if (found?.isFile() && found.size === file.sizeBytes) continue;
    if (found?.isBlockDevice()) continue;
    throw new NestedCheckError(
      'image',
      `image in ${folder} is damaged: ${name} has ${found?.size ?? 'no'} bytes, not ${file.sizeBytes}`,
      {
        hint: 'nested-check image remove it; the next run builds it again',
      },
    );
  }
  const { name, recipeDigest = null, imageDigest = null } = manifest ?? { name: basename(folder) };
  return { name, recipeDigest, imageDigest, folder, ...paths, manifest };
}

/** All bundled recipes, built or not, and all else in the cache; sorted by name, current ones first. */
export async function listImages(environment: Environment): Promise<ListedImage[]> {
  const cache = imageCache(environment);
  const bundled = await Promise.all((await bundledRecipes()).map((name) => readRecipe(name, environment.cwd)));
  const listed: ListedImage[] = [];
  for (const entry of await readdir(cache).catch(() => [])) {
    const manifest = entry.startsWith('.') ? null : await readManifest(join(cache, entry));
    if (manifest === null) continue;
    const own = await readRecipe(`${manifest.recipe}/`, environment.cwd).catch(() => null);
    const state = [own, ...bundled].some((recipe) => recipe?.digest === manifest.recipeDigest) ? 'current' : 'stale';
    listed.push({
      name: manifest.name,
      state,
      recipeDigest: manifest.recipeDigest,
      folder: join(cache, entry),
      manifest,
    });
  }
  for (const { name, digest } of bundled) {
    if (listed.some((image) => image.recipeDigest === digest)) continue;
    listed.push({ name, state: 'not-built', recipeDigest: digest, folder: null, manifest: null });
  }
  const order = (image: ListedImage) => `${image.name} ${image.state} ${image.manifest?.builtAt}`;
  return listed.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/**
 * Removes cached images; running guests keep what they have open.
 * @param nameOrDigest all images of this recipe name, or the one whose recipe or image digest begins so (6 digits or more)
 * @returns what was removed
 * @throws NestedCheckError `input` when nothing in the cache is called so
 */
export async function removeImage(nameOrDigest: string, environment: Environment): Promise<ListedImage[]> {
  const isPrefix = /^[0-9a-f]{6,64}$/.test(nameOrDigest);
  const images = (await listImages(environment)).filter((image) => image.folder !== null);
  const chosen = images.filter(
    ({ name, recipeDigest, manifest }) =>
      name === nameOrDigest ||
      (isPrefix && (recipeDigest.startsWith(nameOrDigest) || manifest?.imageDigest.startsWith(nameOrDigest))),
  );
  if (chosen.length === 0) {
    const names = [...new Set(images.map((image) => image.name))];
    throw new NestedCheckError('input', `no built image ${nameOrDigest}`, {
      hint: `in the cache: ${names.join(', ') || 'nothing'}`,
    });
  }
  for (const { folder } of chosen) if (folder !== null) await rm(folder, { recursive: true, force: true });
  return chosen;
}

/** Null where there is no entry. A damaged one counts as none: it makes way for a new build. */
async function openEntry(entry: string): Promise<Image | null> {
  const image = await openImage(entry).catch(() => null);
  return image?.manifest ? image : null;
}

async function buildEntry(recipe: Recipe, entry: string, options: Parameters<typeof ensureImage>[1]): Promise<Image> {
  const stage = await mkdtemp(join(imageCache(options.environment), '.build-'));
  try {
    const started = Date.now();
    await buildImage(recipe, stage, options);
    const manifest = await describeImage(stage, recipe);
    for (const name of await readdir(stage)) {
      if (!OUTPUTS.includes(name as (typeof OUTPUTS)[number])) await rm(join(stage, name), { recursive: true });
      else await chmod(join(stage, name), 0o644);
    }
    await writeFile(join(stage, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    await chmod(stage, 0o755); // other users' QEMU, such as libvirt's, must get at the files
    await rm(entry, { recursive: true, force: true });
    await rename(stage, entry);
    const seconds = Math.round((Date.now() - started) / 1000);
    options.onProgress(`image ${recipe.name}: built in ${seconds} s, ${Math.round(manifest.sizeBytes / 1e6)} MB`);
    return await openImage(entry);
  } finally {
    await removeStage(stage);
  }
}

async function readManifest(folder: string): Promise<Manifest | null> {
  const text = await readFile(join(folder, 'manifest.json'), 'utf8').catch(() => null);
  if (text === null) return null;
  try {
    return Manifest.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

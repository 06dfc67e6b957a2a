// nested-check image build|list|remove
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import { ensureImage, type ListedImage, listImages, removeImage } from '../image/cache.ts';

/** Builds a bundled recipe, or the one in a folder (all bundled ones without a name), unless it is built already. */
export async function imageBuild(name: string | undefined, environment: Environment): Promise<number> {
  const names =
    name === undefined ? (await listImages(environment)).filter(isWanted).map((image) => image.name) : [name];
  const onProgress = (line: string) => void environment.stderr.write(`${line}\n`);
  for (const wanted of new Set(names)) {
    const image = await ensureImage(wanted, { environment, onProgress });
    environment.stdout.write(`${image.name}  ${image.folder}  ${describeSize(image.manifest)}\n`);
  }
  return 0;
}

/** Prints what is built, what is not, and what is out of date. */
export async function imageList(options: { json?: boolean }, environment: Environment): Promise<number> {
  const images = await listImages(environment);
  environment.stdout.write(options.json ? `${JSON.stringify(images.map(toJson), null, 2)}\n` : renderImages(images));
  return 0;
}

/** Removes the images of a name or digest; without either, those that are out of date. */
export async function imageRemove(name: string | undefined, environment: Environment): Promise<number> {
  const stale = (await listImages(environment))
    .filter((image) => image.state === 'stale')
    .map((image) => image.recipeDigest);
  const removed: ListedImage[] = [];
  for (const wanted of name === undefined ? stale : [name]) removed.push(...(await removeImage(wanted, environment)));
  for (const image of removed) environment.stdout.write(`removed ${image.name} ${image.folder}\n`);
  if (removed.length === 0)
    environment.stdout.write('no image is out of date; give the name of one that is to be removed\n');
  return 0;
}

/** The table of `image list`. */
export function renderImages(images: readonly ListedImage[]): string {
  if (images.length === 0)
    throw new NestedCheckError('image', 'no image recipe came with this installation', { hint: 'install it again' });
  const rows = images.map(({ name, state, recipeDigest, manifest }) => [
    name,
    state === 'not-built' ? 'not built' : state,
    recipeDigest.slice(0, 12),
    manifest?.builtAt.slice(0, 16).replace('T', ' ') ?? '',
    describeSize(manifest),
    manifest?.kernel ?? '',
  ]);
  const table = [['NAME', 'STATE', 'DIGEST', 'BUILT', 'SIZE', 'KERNEL'], ...rows];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0))) ?? [];
  return table
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

function toJson({ name, state, recipeDigest, folder, manifest }: ListedImage) {
  const { imageDigest = null, sizeBytes = null, builtAt = null, kernel = null, packages = {} } = manifest ?? {};
  return { name, state, recipeDigest, imageDigest, folder, sizeBytes, builtAt, kernel, packages };
}

const isWanted = (image: ListedImage) => image.state !== 'stale';
const describeSize = (manifest: ListedImage['manifest']) =>
  manifest === null ? '' : `${(manifest.sizeBytes / 1e6).toFixed(0)} MB`;

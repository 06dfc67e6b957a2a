// Makes an image of a recipe with mmdebstrap, in a folder that is thrown away whenever anything goes wrong.
import { constants } from 'node:fs';
import { access, copyFile, mkdir, readdir, readFile, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import pRetry from 'p-retry';
import { dirSync } from 'tmp';
import type { Environment } from '../environment.ts';
import { NestedCheckError } from '../errors.ts';
import type { Recipe } from './recipe.ts';

/** What customize.sh leaves in /nested-check/out, and every image has. */
export const OUTPUTS = ['vmlinuz', 'initramfs.img', 'root.erofs', 'packages.tsv'] as const;

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** Bytes that must be free: for the chroot while it is built, and for the finished image. */
const CHROOT_SPACE = 2_500_000_000;
const IMAGE_SPACE = 500_000_000;

// The build runs in its own process group under a shell that ends the whole group with SIGKILL when it gets SIGTERM:
// from us, or from the kernel when we die in whatever way (setpriv --pdeathsig). mmdebstrap's own handling of
// signals waits for its children to finish, which takes minutes.
const SUPERVISED = ['--pdeathsig', 'TERM', 'sh', '-c', 'trap "trap : TERM; kill -KILL 0" TERM; "$@" & wait $!', 'sh'];

/**
 * Runs mmdebstrap; afterwards `stage` has the files in OUTPUTS (and the staged recipe files).
 * @param stage an existing empty folder; the caller removes it, also after a failure
 * @throws NestedCheckError `host` (no mmdebstrap, no space), `image` (the build failed), `interrupted`
 */
export async function buildImage(
  recipe: Recipe,
  stage: string,
  options: { environment: Environment; onProgress: (line: string) => void },
): Promise<void> {
  const { environment, onProgress } = options;
  const workParent = await findWorkParent(environment);
  await checkSpace(workParent, dirname(stage));
  const staged = join(stage, 'nested-check');
  for (const [name, path] of recipe.files) {
    await mkdir(dirname(join(staged, name)), { recursive: true });
    await copyFile(path, join(staged, name));
  }
  const started = Date.now();
  const say = (text: string) =>
    onProgress(`image ${recipe.name}: ${text} (${Math.round((Date.now() - started) / 1000)} s)`);
  await pRetry(
    async () => {
      const work = dirSync({ tmpdir: workParent, prefix: 'nested-check-build', mode: 0o711 }).name;
      await writeFile(join(stage, 'work'), work);
      try {
        await runMmdebstrap(recipe, stage, work, environment, say);
      } finally {
        await removeWork(work);
      }
    },
    {
      retries: 1, // apt itself tries each file several times
      minTimeout: 2000,
      signal: environment.signal,
      shouldRetry: ({ error }) => error instanceof DownloadError,
      onFailedAttempt: ({ error, retriesLeft }) => {
        if (error instanceof DownloadError && retriesLeft > 0)
          say(`download failed, trying again: ${error.message.split('\n').at(-1)}`);
      },
    },
  ).catch((error: unknown) => {
    throw environment.signal.aborted
      ? new NestedCheckError('interrupted', `image ${recipe.name}: building was interrupted, nothing of it remains`)
      : error;
  });
  for (const name of OUTPUTS) {
    const size = await stat(join(stage, name)).then(
      (s) => s.size,
      () => 0,
    );
    if (size === 0)
      throw new NestedCheckError('image', `image ${recipe.name}: customize.sh left no ${name} in /nested-check/out`);
  }
}

/** Removes what a build that was killed left behind: its stage and the chroot that the stage names. */
export async function removeStage(stage: string): Promise<void> {
  const work = await readFile(join(stage, 'work'), 'utf8').catch(() => '');
  if (/\/nested-check-build-[^/]+$/.test(work)) await removeWork(work);
  await rm(stage, { recursive: true, force: true });
}

/** A failure that another attempt may mend. */
class DownloadError extends NestedCheckError {}

async function runMmdebstrap(
  recipe: Recipe,
  stage: string,
  work: string,
  environment: Environment,
  say: (text: string) => void,
): Promise<void> {
  const mirror = environment.env['NESTED_CHECK_MIRROR'] || recipe.mirror;
  say(`downloading packages from ${mirror}`);
  const last: string[] = [];
  // cwd and fixed names, so that no path needs quoting in a hook
  const subprocess = execa(
    'setpriv',
    [...SUPERVISED, ...mmdebstrapCommand(recipe, mirror, isRoot(), await exists(KEYRING))],
    {
      cwd: stage,
      env: { TMPDIR: work, LC_ALL: 'C.UTF-8', DEBIAN_FRONTEND: 'noninteractive' },
      detached: true,
      stdin: 'ignore',
      all: true,
      buffer: false,
      reject: false,
      cancelSignal: environment.signal,
    },
  );
  for await (const line of subprocess.iterable({ from: 'all' })) {
    last.push(line);
    if (last.length > 15) last.shift();
    const stageName = progressOf(line);
    if (stageName !== null) say(stageName);
  }
  const result = await subprocess;
  if (!result.failed) return;
  const shown = last.map((line) => `  ${line.slice(0, 300)}`).join('\n');
  const message = `image ${recipe.name}: mmdebstrap failed (${result.exitCode === undefined ? result.shortMessage : `status ${result.exitCode}`}); its last lines:\n${shown}`;
  if (result.code === 'ENOENT' || result.exitCode === 127) {
    throw new NestedCheckError('host', `image ${recipe.name}: mmdebstrap or setpriv is missing`, {
      hint: 'nested-check doctor --fix',
    });
  }
  if (isDownloadFailure(last))
    throw new DownloadError('image', message, {
      hint: `is ${mirror} reachable? NESTED_CHECK_MIRROR names another mirror`,
    });
  throw new NestedCheckError('image', message, { hint: 'nested-check doctor says what the build needs' });
}

/**
 * The command line of a build. It must run in the stage folder, which holds the recipe's files as nested-check/.
 * For root, mounts are kept in a mount namespace that vanishes with the build; for others mmdebstrap does that itself.
 */
export function mmdebstrapCommand(recipe: Recipe, mirror: string, root: boolean, keyring: boolean): string[] {
  return [
    ...(root ? ['unshare', '--mount', 'mmdebstrap', '--mode=unshare'] : ['mmdebstrap', '--mode=auto']),
    `--variant=${recipe.variant}`,
    '--format=null',
    `--components=${recipe.components.join(',')}`,
    ...(recipe.packages.length > 0 ? [`--include=${recipe.packages.join(',')}`] : []),
    ...(keyring ? [`--keyring=${KEYRING}`] : []),
    '--aptopt=Acquire::Retries "3"',
    '--aptopt=Acquire::Languages "none"',
    '--customize-hook=copy-in nested-check /',
    '--customize-hook=chroot "$1" sh /nested-check/customize.sh',
    ...OUTPUTS.map((name) => `--customize-hook=download /nested-check/out/${name} ${name}`),
    recipe.suite,
    '-',
    mirror,
    ...(recipe.security === undefined
      ? []
      : [`deb ${recipe.security} ${recipe.suite}-security ${recipe.components.join(' ')}`]),
  ];
}

/** What a line of mmdebstrap's output says about how far it is; customize.sh adds lines `nested-check: …`. */
export function progressOf(line: string): string | null {
  if (line.startsWith('nested-check: ')) return line.slice('nested-check: '.length);
  if (/^I: (extracting|installing)/.test(line)) return line.slice(3).replace(/\.\.\.$/, '');
  if (line.startsWith('I: running special hook: copy-in')) return 'customizing';
  if (line.startsWith('I: running special hook: download /nested-check/out/vmlinuz')) return 'taking the files out';
  return null;
}

/** Does the end of the output say that packages could not be had? */
export function isDownloadFailure(lines: readonly string[]): boolean {
  return lines.some((line) =>
    /Failed to fetch|Temporary failure resolving|Could not connect|Connection (failed|timed out)|Hash Sum mismatch/.test(
      line,
    ),
  );
}

/** How much is missing, in words; null when there is enough. */
export function spaceProblem(folder: string, needed: number, free: number): string | null {
  const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
  return free >= needed
    ? null
    : `building an image needs ${gigabytes(needed)} in ${folder}, and ${gigabytes(free)} are free`;
}

async function checkSpace(workParent: string, cache: string): Promise<void> {
  const sameDisk = (await stat(workParent)).dev === (await stat(cache)).dev;
  const needs: [string, number][] = sameDisk
    ? [[cache, CHROOT_SPACE + IMAGE_SPACE]]
    : [
        [workParent, CHROOT_SPACE],
        [cache, IMAGE_SPACE],
      ];
  for (const [folder, needed] of needs) {
    const { bavail, bsize } = await statfs(folder);
    const problem = spaceProblem(folder, needed, bavail * bsize);
    if (problem !== null) {
      throw new NestedCheckError('host', problem, {
        hint:
          folder === cache
            ? 'nested-check image remove drops old images; XDG_CACHE_HOME names another place'
            : 'TMPDIR names another place',
      });
    }
  }
}

/** Where the chroot is built: a disk rather than a tmpfs, and a folder that other users can pass through. */
async function findWorkParent(environment: Environment): Promise<string> {
  const folder = environment.env['TMPDIR'] || '/var/tmp';
  await access(folder, constants.W_OK).catch((cause) => {
    throw new NestedCheckError('host', `can't write to ${folder}, where images are built`, {
      hint: 'TMPDIR names another place',
      cause,
    });
  });
  return folder;
}

/** An unprivileged build leaves files of other users, which only root of the same user namespace can remove. */
async function removeWork(work: string): Promise<void> {
  for (const name of isRoot() ? [] : await readdir(work).catch(() => [])) {
    // the folder itself stays, empty: it lies in one of ours
    await execa('mmdebstrap', ['--unshare-helper', 'rm', '-rf', '--one-file-system', join(work, name)], {
      cwd: '/',
      reject: false,
    });
  }
  await execa('rm', ['-rf', '--one-file-system', work], { reject: false });
}

const isRoot = () => process.getuid?.() === 0;
const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );
